"""`bdry demo`: trainings on digits, their boundary points, a figure, the page, by the other commands. No torch here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..errors import BdryError, UsageError
from ..runs import find_runs
from ..session.python_child import run_bdry
from ..settings.commands import DemoConfig

USAGE, INTERRUPTED = 2, 130
PAPER, FIGURE = "mickisch2020", "margin_evolution"
# the jobs of a sweep side by side
LAUNCH = "launch=joblib"
# most of a small training: the attack of every epoch's robust accuracy takes a quarter of its usual passes, and margins
# are of fewer images
QUICK = ("evaluation.steps=20", "evaluation.restarts=1", "probe.margin.num_train=100", "probe.margin.num_test=100")


class StepError(BdryError):
    """A command of the demo failed; it has said why, and the demo ends with its exit code."""

    def __init__(self, line: str, exit_code: int) -> None:
        super().__init__(line)
        self.exit_code = exit_code


def run(config: DemoConfig) -> None:
    """Gives one command after the other, each printed as it could be typed, then says where to look."""
    outputs = Path(config.outputs)
    seeds = ",".join(map(str, config.seeds))
    trainings = ["train", LAUNCH, "adv=none,pgd", f"seed={seeds}", f"training.epochs={config.epochs}", "threads=1"]
    _step([*trainings, *QUICK, *config.overrides, f"outputs={outputs}"])
    records, _ = find_runs([str(outputs.expanduser() / "runs")])
    # the page shows the same images of one standard and one adversarial network
    runs = _several([str(record.run.path) for record in records if record.identity["seed"] == config.seeds[0]])
    images = [f"num_train={config.keep_points}", f"num_test={config.keep_points}", f"keep_points={config.keep_points}"]
    _step(["margin", LAUNCH, f"run={runs}", *images, "threads=1", f"outputs={outputs}"])
    # the page draws all figures; this one is for a look without a browser
    figure = [f"paper={PAPER}", f"figure={FIGURE}", "style.format=[png]"]
    _step(["figures", *figure, f"runs={outputs}", f"outputs={outputs}"])
    _step(["report", f"papers=[{PAPER}]", f"runs={outputs}", f"outputs={outputs}"])
    print("\n".join(["", *_where_to_look(outputs)]))


def _step(words: Sequence[str]) -> None:
    line = f"bdry {shlex.join(words)}"
    print(f"\n{line}", flush=True)
    code = run_bdry(words)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == USAGE:
        raise UsageError(f"{line}: see the line above")
    if code:
        raise StepError(f"{line}: see the lines above; the same command goes on", code)


def _several(paths: Sequence[str]) -> str:
    """Paths as a sweep in Hydra's grammar, bare where all of them have plain letters alone."""
    if all(re.fullmatch(r"[\w./=-]+", path) for path in paths):
        return ",".join(paths)
    return ",".join("'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'" for path in paths)


def _where_to_look(outputs: Path) -> list[str]:
    figures = sorted((outputs.expanduser() / "figures" / PAPER).glob(f"{FIGURE}-*.png"))
    return [
        *(f"margins over training   {path}" for path in figures),
        f"all of it on one page   {outputs / 'report.html'} (open it in a browser)",
        f"the runs                bdry runs {shlex.quote(str(outputs))}",
        "your own                bdry train --help",
    ]
