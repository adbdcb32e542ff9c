"""The life of work in a folder, of a training as of a measurement: claimed, gone on with, stopped, failed, finished."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from ..conf import job_overrides
from ..data import Dataset
from ..errors import BdryError, StoppedError, UsageError, first_line, out_of_memory
from ..leaving import line_for, staying
from ..runs.owned import OwnedFolder
from ..runs.provenance import provenance
from .digests import is_own
from .progress import Counting
from .stopping import Stop, stopping

TORCH = Path(torch.__file__).parent
# letters of an error's message kept in status.json
LONGEST = 1000


class Work(Protocol):
    """What is done in a folder, in an order that a kill at any moment does not spoil.

    config: what config.yaml will say. dataset: the images that it works on.
    """

    config: dict[str, Any]
    dataset: Dataset

    @property
    def progress(self) -> Counting:
        """How far it is."""
        ...

    def resume(self) -> dict[str, Any]:
        """Puts back the state that was saved last and drops what was written after it; what status.json says of it."""
        ...

    def go_on(self, stop: Stop) -> None:
        """Does what is missing; saves after each piece, then lets `stop` end the work."""
        ...

    def finish(self) -> None:
        """Sums up and draws, from the tables alone."""
        ...


def carry_out(folder: OwnedFolder, begin: Callable[[], Work], own: tuple[str, str] | None = None) -> None:
    """Does the work of `folder`, from where it was left; says so where it is finished already.

    begin: builds the work, of data and networks; what it refuses is refused before anything is written.
    own: the setting that names the user's own code, and the name; None: there is none.

    Raises:
        UsageError: the network is the user's own code, which has raised something, or some code would leave bdry.
        BusyError: another process works in this folder.
        StoppedError: a signal has stopped it; the same command goes on.
    """
    if folder.finished:
        print(f"{folder.name} is finished already: {folder.path}")
        return
    # what is refused by now names the setting and what it was tried on
    with _in_a_line(own, passing=BdryError):
        work = begin()
    with folder.claimed():
        # another process may have finished it while this one loaded its data
        if folder.finished:
            return
        how_far = work.resume()
        folder.write_config(work.config)
        folder.add_provenance(_origin(work.dataset, how_far))
        folder.set_status("running", error=None, **how_far)
        try:
            with _in_a_line(own):
                with work.progress, stopping() as stop:
                    work.go_on(stop)
                work.finish()
        except BaseException as error:
            # what has gone wrong is not hidden by a folder that cannot be written at all
            with suppress(OSError):
                folder.set_status(_ended(error), error=str(error)[:LONGEST] or type(error).__name__)
            raise
        folder.set_status("finished")
        # a signal of the last moments, too late for the work, still stops what comes after it
        stop.obey()


def _origin(dataset: Dataset, how_far: dict[str, Any]) -> dict[str, Any]:
    device = dataset.train.labels.device
    return provenance(
        overrides=job_overrides(),
        **({"from_step": how_far["step"]} if "step" in how_far else {}),
        device=str(device),
        device_name=torch.cuda.get_device_name() if device.type == "cuda" else "",
        threads=torch.get_num_threads(),
        data=dataset.checksums(),
        classes=list(dataset.class_names),
    )


@contextmanager
def _in_a_line(own: tuple[str, str] | None, passing: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Whatever code of others raises inside is a line, where that can be told, and it cannot leave without a word.

    passing: the errors that stay what they are.
    """
    try:
        with staying():
            yield
    except passing:
        raise
    except BaseException as raised:
        error = (_of_own_code(raised, *own) if own else None) or line_for(raised)
        if error is None:
            raise
        raise error from None


def _of_own_code(error: BaseException, key: str, name: str) -> UsageError | None:
    """The line for an error that has come through the file of the network that `key` names, and where in it.

    Also for one that torch raises while it differentiates, where no file of the network is on the way.
    """
    root: BaseException | None = error
    # a ValueError may have been taken for a mistake in a setting, and Python makes another error of a StopIteration
    while root is not None and not isinstance(root, KeyboardInterrupt) and not out_of_memory(root):
        files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(root.__traceback__)]
        places = [f"{file.name}, line {line}" for file, line in files if is_own(file.resolve())]
        if places and not isinstance(root, BdryError):
            return UsageError(f"{key}={name}: fails at {places[-1]} ({first_line(root)})")
        # what is a line already has its reason
        refused = isinstance(root, RuntimeError) and not isinstance(error, BdryError)
        if refused and files and files[-1][0].is_relative_to(TORCH):
            return UsageError(f"{key}={name}: cannot be differentiated as this needs ({first_line(root)})")
        root = root.__cause__ or root.__context__
    return None


def _ended(error: BaseException) -> str:
    """The state of work that `error` ended: `interrupted` where the same command goes on, else `failed`."""
    return "failed" if isinstance(error, Exception) and not isinstance(error, StoppedError) else "interrupted"
