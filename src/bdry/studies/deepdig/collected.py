"""What the probe `deepdig` collects while it works: rows, arrays and seconds."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...core.moment import Moment
from ...deepdig import Borderline, Oscillation, Pair, Recipe, Stage, of_both
from ..measured import Measured
from .tables import PICTURES


@dataclass
class Collected:
    """rows: by table. borderline: by array file its columns, a part a pair and method. pictures: arrays by name.

    seconds, forwards, memory: by stage of the work; memory is the peak up to the stage's end, MiB.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    borderline: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    forwards: dict[str, int] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def add(self, table: str, **row: Any) -> None:
        """One row of a table."""
        self.rows.setdefault(table, []).append(row)

    def picture(self, name: str, pair: Pair, values: Tensor | np.ndarray, **fields: str) -> None:
        """The array of `pictures` that is declared as `name`, `{pair}` standing for `{source}-{target}`."""
        declared = name.replace("{pair}", "{source}-{target}")
        key = PICTURES.key(declared, source=pair[0], target=pair[1], **fields)
        self.pictures[key] = values.cpu().numpy() if isinstance(values, Tensor) else values

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds what the block takes to the stage's seconds."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began
            self.memory[stage] = peak_memory()

    def count(self, stage: str, forwards: int) -> None:
        """Adds forward passes to a stage's."""
        self.forwards[stage] = self.forwards.get(stage, 0) + forwards

    def measured(self, moment: Moment, num_pairs: int) -> Measured:
        """All of it, labelled with the moment."""
        for stage, seconds in self.seconds.items():
            forwards, memory = self.forwards.get(stage, 0), self.memory[stage]
            row = {"num_pairs": num_pairs, "seconds": seconds, "forwards": forwards, "peak_memory": memory}
            self.add("runtime", stage=stage, **row)
        tables = {
            name: pd.DataFrame(rows).assign(step=moment.step, epoch=moment.epoch) for name, rows in self.rows.items()
        }
        arrays = {"pictures": self.pictures} if self.pictures else {}
        for file, parts in self.borderline.items():
            arrays[file] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Measured(tables, arrays)


def peak_memory() -> float:
    """The most memory held so far, MiB: of the GPU's allocator where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    # Linux counts in KiB, macOS in bytes
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def ae_row(stage: Stage, recipe: Recipe, num_test: int, num_kept_test: int) -> dict[str, Any]:
    """The row of table `ae`."""
    log = stage.log
    first, last = (0, -1) if log.steps else (None, None)
    return {
        "source": stage.pair[0],
        "target": stage.pair[1],
        "alpha": recipe.alphas[0],
        "stage": stage.stage,
        "status": stage.status,
        "class_term": recipe.class_term,
        "lr": recipe.lr,
        "ae_steps": log.steps[-1] + 1 if log.steps else 0,
        "reconstruction_first": _at(log.reconstruction, first),
        "class_first": _at(log.class_term, first),
        "reconstruction_last": _at(log.reconstruction, last),
        "class_last": _at(log.class_term, last),
        "num_images": stage.num_images,
        "num_kept": stage.num_kept,
        "num_test": num_test,
        "num_kept_test": num_kept_test,
        "spread_in": stage.spread_in,
        "spread_out": stage.spread_out,
        "collapse_ratio": stage.collapse_ratio,
        "median_distance": stage.median_distance,
        "restarts": stage.restarts,
    }


def _at(values: list[float], position: int | None) -> float:
    return math.nan if position is None else values[position]


def idc_row(found: Oscillation) -> dict[str, Any]:
    """The measured columns of table `idc`."""
    row: dict[str, Any] = {
        name: getattr(found, name) for name in ("grid", "partners", "gamma", "num_points", "num_starts", "num_segments")
    }
    for name in ("idc", "flips", "first_step", "interior", "hysteresis", "undecided", "third_class"):
        estimate = getattr(found, name)
        row |= {name: estimate.mean, f"{name}_error": estimate.error}
    return row


def idc_pair_row(
    pair: Pair, method: str, alpha: float, suffix: str, there: Oscillation, back: Oscillation
) -> dict[str, Any]:
    """The row of table `idc_pairs`."""
    row: dict[str, Any] = {
        "source": pair[0],
        "target": pair[1],
        "instances": "test" if suffix else "train",
        "method": method,
        "alpha": alpha,
        "grid": there.grid,
        "num_starts": there.num_starts + back.num_starts,
    }
    for name, estimate in of_both(there, back).items():
        row |= {name: estimate.mean, f"{name}_error": estimate.error}
    return row


def bisection_rows(result: Borderline) -> list[dict[str, Any]]:
    """The measured columns of table `bisection`: none for no segment."""
    rows = []
    for attempt, gaps in enumerate(result.found.gaps.unbind(1), start=1):
        active = gaps[~gaps.isnan()].double()
        if not len(active):
            break
        q25, median, q75 = active.quantile(active.new_tensor([0.25, 0.5, 0.75])).tolist()
        rows.append(
            {"attempt": attempt, "num_active": len(active), "gap_q25": q25, "gap_median": median, "gap_q75": q75}
        )
    return rows


def borderline_arrays(result: Borderline, index: Tensor, features: Tensor, num_saved: int | None) -> dict[str, Any]:
    """The instances of one generator and pair, a row each; image and features of the first `num_saved` successes.

    index: (n,), positions of the sources in the official split. features: (n, F), at `found.point`. saved: whether the
    row has its place in `image` and `features`, which come in the order of the rows.
    """
    found, (s, t), n = result.found, result.pair, len(result.source)
    saved = found.success & (found.success.cumsum(0) <= (n if num_saved is None else num_saved))
    columns = {
        "source": torch.full((n,), s),
        "target": torch.full((n,), t),
        "index": index,
        "outcome": found.outcome.to(torch.int8),
        "attempts": found.attempts.to(torch.int16),
        "p_source": found.p_source,
        "p_target": found.p_target,
        # p_s and p_t at the bracket's last end on the side of s, and on that of t
        "p_low": found.low,
        "p_high": found.high,
        "logit_source": found.logits[:, s],
        "logit_target": found.logits[:, t],
        "distance": result.distance,
        "saved": saved,
        "image": found.point[saved],
        "features": features[saved],
    }
    return {"method": np.full(n, result.method, dtype="U16"), **{k: v.cpu().numpy() for k, v in columns.items()}}
