"""Did a change of the code change a number? Records what small commands of every kind leave behind, and compares.

    python scripts/same_results.py record FOLDER          run the commands with the bdry that is imported here
    python scripts/same_results.py compare OLD NEW        every table, array, figure's CSV and verdict of both

`record` trains with every probe, runs every measuring command, figures, claims and report: the smoke grids of the four
papers, and a few commands that the grids lack. `compare` pairs files by what they are of, leaves timings out, lists
what differs with the largest difference, and exits 1 where something does. RENAMED says which columns have other names
since the older record. Columns that only one of the two has are listed, and are no difference.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

PAPERS = ("mickisch2020", "li2018", "karimi2020", "fawzi2017")
SMALL = [
    "dataset=digits",
    "dataset.num_train=300",
    "dataset.num_test=200",
    "training.epochs=2",
    "evaluation.robust_images=20",
]
MODULE = """
import torch
from torch import nn


def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
"""
# columns that hold seconds, and tables of them
CLOCKS = ("seconds", "svm_seconds", "training_seconds", "measuring_seconds", "measurement", "path")
# (file, "" for every file; old name of a column) -> its new name
RENAMED = {
    ("", "run"): "experiment",
    ("detect_scores", "margin"): "logit_gap",
    ("detect_scores", "h"): "fd_step",
    ("detect_summary", "h"): "fd_step",
}


def record(folder: Path) -> None:
    """Runs the commands; their outputs are in `folder`."""
    folder.mkdir(parents=True)
    (folder / "small_module.py").write_text(MODULE)
    for paper in PAPERS:
        _bdry(folder, "reproduce", f"paper={paper}", "scale=smoke", f"outputs=grids/{paper}")
    _bdry(folder, "train", *SMALL, "outputs=adversarial", "adv=pgd", "probe=[margin,svm]", "margin=walk")
    _bdry(
        folder,
        "margin",
        "classifier=small_module:build",
        "dataset=digits",
        "num_test=30",
        "splits=[test]",
        "margin=walk",
        "clipped=[false,true]",
        "keep_points=5",
        "check=[fmn,ddn,fab,apgd]",
        "outputs=module",
    )
    run = next((folder / "adversarial" / "runs").glob("*/seed=0"))
    run_path = run.relative_to(folder)
    for estimator in ("exact", "certified", "bracket"):
        words = ["arch=linear", *SMALL, "probe=[]", f"outputs={estimator}"]
        _bdry(folder, "train", *words)
        linear = next((folder / estimator / "runs").glob("*/seed=0")).relative_to(folder)
        _bdry(folder, "margin", f"run={linear}", f"margin={estimator}", "num_train=10", "num_test=10")
    _bdry(folder, "svm", f"run={run_path}", "checkpoint=all")
    for paper in PAPERS:
        _bdry(folder, "figures", f"paper={paper}", f"runs=grids/{paper}", f"outputs=figures/{paper}")
        _bdry(folder, "report", f"runs=grids/{paper}", f"outputs=report/{paper}")


def _bdry(folder: Path, *words: str) -> None:
    print("bdry", *words, flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _import_path(folder)}
    code = subprocess.call(
        [sys.executable, "-m", "bdry", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    # 3: some commands of a grid failed, which is part of the record
    if code not in (0, 3):
        sys.exit(f"bdry {' '.join(words)} ended with exit code {code}")


def _import_path(folder: Path) -> str:
    return os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(folder)]).strip(os.pathsep)


def compare(old: Path, new: Path) -> bool:
    """Prints what differs; whether nothing does."""
    before, after = _files(old), _files(new)
    same = True
    for key in sorted(before.keys() | after.keys()):
        left, right = before.get(key, []), after.get(key, [])
        name = " / ".join(key)
        if len(left) != len(right):
            print(f"{name}: {len(left)} files before, {len(right)} now")
            same = False
            continue
        for problem in _differences(left, right):
            same = same and problem.startswith("(")
            print(f"{name}: {problem}")
    count = [sum(map(len, found.values())) for found in (before, after)]
    print(f"{count[0]} files before, {count[1]} now; {'the same' if same else 'NOT the same'}")
    return same


def _files(folder: Path) -> dict[tuple[str, ...], list[Path]]:
    """Tables, arrays and CSVs by what they are of: hashes in names are left out."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".csv", ".npz") or path.name in ("timings.csv", "batches.csv"):
            continue
        parts = [re.sub(r"-[0-9a-f]{8}(?=$|[-_/.])", "", part) for part in path.relative_to(folder).parts]
        found[(*parts, _study(path))].append(path)
    return found


def _study(path: Path) -> str:
    """What tells apart runs and measurements whose names differ in their hash alone."""
    config = path.parent.parent / "config.yaml"
    if not config.exists():
        return ""
    values = yaml.safe_load(config.read_text())
    arch = values.get("arch") or {}
    told = [
        values.get("study"),
        values.get("stage"),
        arch.get("activation"),
        arch.get("init"),
        (values.get("optim") or {}).get("name"),
        (values.get("adv") or {}).get("norm"),
    ]
    return ",".join(str(value) for value in told if value is not None)


def _differences(left: list[Path], right: list[Path]) -> list[str]:
    """What differs between two lists of files of the same kind, paired so that as few as possible differ."""
    remaining, problems = list(right), []
    for path in left:
        tried = [_difference(path, other) for other in remaining]
        best = min(range(len(remaining)), key=lambda i: tried[i][0])
        remaining.pop(best)
        problems += tried[best][1]
    return problems


def _difference(left: Path, right: Path) -> tuple[float, list[str]]:
    """How much two files differ, 0 for equal, and in words; words in brackets are no difference."""
    before, after = _columns(left), _columns(right)
    before = {_renamed(left.stem, name): values for name, values in before.items()}
    words, badness = [], 0.0
    if gone := sorted(before.keys() - after.keys()):
        words.append(f"(only before: {', '.join(gone)})")
    if added := sorted(after.keys() - before.keys()):
        words.append(f"(only now: {', '.join(added)})")
    for name in before.keys() & after.keys():
        found = _values_differ(before[name], after[name])
        if found:
            words.append(f"{name} {found}")
            badness += 1
    return badness, words


def _renamed(stem: str, name: str) -> str:
    for (file, old), new in RENAMED.items():
        if old == name and stem.startswith(file):
            return new
    return name


def _columns(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    try:
        table = pd.read_csv(path, comment=None)
    except pd.errors.EmptyDataError:
        return {}
    for name in ("run", "experiment"):
        if name in table:
            table[name] = table[name].astype(str).str.replace(r"-[0-9a-f]{8}$", "", regex=True)
    return {str(name): table[name].to_numpy() for name in table.columns if name not in CLOCKS}


def _values_differ(before: np.ndarray, after: np.ndarray) -> str:
    if before.shape != after.shape:
        return f"has shape {before.shape} before, {after.shape} now"
    if before.dtype.kind in "fiub" and after.dtype.kind in "fiub":
        a, b = before.astype(np.float64), after.astype(np.float64)
        unequal = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        if not unequal.any():
            return ""
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.nanmax(np.abs(a - b)[unequal] / np.maximum(np.abs(a), 1e-12)[unequal]) if unequal.any() else 0.0
        return f"differs in {int(unequal.sum())} of {a.size} values, by {size:.2g} of the old one at most"
    unequal = before.astype(str) != after.astype(str)
    return f"differs in {int(unequal.sum())} of {before.size} values" if unequal.any() else ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("record").add_argument("folder", type=Path)
    comparing = actions.add_parser("compare")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "record":
        record(arguments.folder.resolve())
    elif not compare(arguments.old, arguments.new):
        sys.exit(1)


if __name__ == "__main__":
    main()
