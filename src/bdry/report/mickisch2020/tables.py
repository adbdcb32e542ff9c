"""Tables T1 and T2: each experiment's margins over training in numbers, and those of misclassified images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...runs import RunRecord
from ...runs.files import write_text
from ..captions import describe_runs
from ..points import EXPERIMENT, FEWEST_IMAGES, TRAININGS, last_moment, of_study, rows_of
from ..style import write_csv
from ..trend import trend

ROW = [*EXPERIMENT, "norm", "split"]
MARGIN_NUMBERS = ("margin_init", "margin_peak", "margin_at_trainacc99", "margin_last")
ACCURACIES = ("train_accuracy", "test_accuracy", "robust_accuracy")
# column -> heading and how a value is written
T1_HEADINGS = {
    "train_accuracy": ("train accuracy", "{:.1%}"),
    "test_accuracy": ("test accuracy", "{:.1%}"),
    "robust_accuracy": ("robust accuracy", "{:.1%}"),
    "margin_init": ("margin at init", "{:.3g}"),
    "margin_peak": ("at peak", "{:.3g}"),
    "margin_at_trainacc99": ("at train accuracy 99 %", "{:.3g}"),
    "margin_last": ("last", "{:.3g}"),
    "change_peak_last": ("peak to last", "{:+.0%}"),
    "change_late": ("99 % to last", "{:+.0%}"),
    "success_rate": ("success", "{:.1%}"),
    "mean_iterations": ("iterations", "{:.1f}"),
    "num_images": ("n", "{:.0f}"),
}
T2_HEADINGS = {
    "margin_correct": ("margin of correct", "{:.3g}"),
    "margin_incorrect": ("of misclassified", "{:.3g}"),
    "ratio": ("ratio", "{:.2f}"),
    "auroc": ("AUROC", "{:.3f}"),
    "num_correct": ("n correct", "{:.0f}"),
    "num_incorrect": ("n misclassified", "{:.0f}"),
}
T1_WHAT = (
    "Margins over training: means over images, in pixel units of [0, 1]; the peak is the largest mean after "
    "initialisation up to epoch 8; what train accuracy 99 % is named in is over the seeds that reach it; accuracies, "
    "success rate and iterations of the estimator are those of the last moment."
)
T2_WHAT = (
    "Margins of correctly classified and of misclassified images at the last moment, in pixel units of [0, 1]. AUROC: "
    "probability that a misclassified image has a smaller margin than a correctly classified one. Margins, ratio and "
    f"AUROC leave out seeds with fewer than {FEWEST_IMAGES} of either."
)


def draw_trend(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Writes trend.csv, the table of `report.trend` that T1 averages over seeds."""
    rows = trend(records)
    return [write_csv(rows, folder / "trend")] if len(rows) else []


def draw_t1(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Writes T1.csv and T1.md."""
    return _write("T1", t1(records), T1_HEADINGS, T1_WHAT, records, folder)


def draw_t2(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Writes T2.csv and T2.md."""
    return _write("T2", t2(records), T2_HEADINGS, T2_WHAT, records, folder)


def t1(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row an experiment, norm and split; each number is its mean over seeds, `_low` and `_high` smallest and largest.

    Numbers: train_accuracy, test_accuracy, robust_accuracy (under the run's evaluating attack), margin_init,
    margin_peak, margin_at_trainacc99, margin_last, change_peak_last and change_late as in `trend`; success_rate and
    mean_iterations of the estimator at the last moment; num_images. Accuracies and changes are shares.
    """
    main = of_study(records, "main")
    numbers = trend(main)
    numbers = numbers[numbers["subset"] == "all"]
    summary = last_moment(rows_of(main, "margin_summary"))
    effort = summary.loc[
        summary["subset"] == "all",
        ["run", "seed", "norm", "split", "success_rate", "mean_iterations", "num_images"],
    ]
    accuracies = last_moment(rows_of(main, "history"))[["run", "seed", *ACCURACIES]]
    return _over_seeds(numbers.merge(effort).merge(accuracies, how="left"), T1_HEADINGS)


def t2(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row an experiment, norm and split, at the last moment, in the form of `t1`.

    Numbers: margin_correct and margin_incorrect, means over the images with a margin; ratio of the latter to the
    former; auroc, of the negative margin as a score for being misclassified; num_correct, num_incorrect.
    """
    margins = last_moment(rows_of(of_study(records, "main"), "margins"))
    rows = []
    for values, part in margins[margins["success"].astype(bool)].groupby([*ROW, "seed"]):
        correct = part["correct"].astype(bool)
        right, wrong = part.loc[correct, "margin"].to_numpy(), part.loc[~correct, "margin"].to_numpy()
        row = dict(zip([*ROW, "seed"], values, strict=True))
        row |= {"num_correct": len(right), "num_incorrect": len(wrong)}
        if min(len(right), len(wrong)) >= FEWEST_IMAGES:
            row |= {"margin_correct": right.mean(), "margin_incorrect": wrong.mean()}
            row |= {"ratio": wrong.mean() / right.mean(), "auroc": auroc(right, wrong)}
        rows.append(row)
    return _over_seeds(pd.DataFrame(rows, columns=[*ROW, "seed", *T2_HEADINGS]), T2_HEADINGS)


def auroc(larger: np.ndarray, smaller: np.ndarray) -> float:
    """Probability that a value of `smaller` is below one of `larger`, ties half: Mann and Whitney's U / pairs."""
    # here, because it is slow to import and most commands do without
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(larger, smaller).statistic) / (len(larger) * len(smaller))


def _over_seeds(rows: pd.DataFrame, numbers: Iterable[str]) -> pd.DataFrame:
    groups = rows.groupby(ROW, sort=True)
    columns = {"num_seeds": ("seed", "nunique")}
    for name in numbers:
        columns |= {name: (name, "mean"), f"{name}_low": (name, "min"), f"{name}_high": (name, "max")}
    return groups.agg(**columns).reset_index().sort_values(["dataset", "arch", "training"], key=_rank, kind="stable")


def _rank(column: pd.Series) -> pd.Series:
    """For sorting: trainings in the order of legends."""
    return column.map(list(TRAININGS).index) if column.isin(TRAININGS).all() else column


def _write(
    name: str,
    table: pd.DataFrame,
    headings: dict[str, tuple[str, str]],
    what: str,
    records: Sequence[RunRecord],
    folder: Path,
) -> list[Path]:
    if table.empty:
        return []
    path = folder / f"{name}.md"
    runs = set(table["run"])
    notes = describe_runs([record for record in records if record.identity["run"] in runs])
    seeds = "Mean over seeds; in brackets the smallest and the largest. " if table["num_seeds"].max() > 1 else ""
    lines = [f"**{name}.** {what} {seeds}".rstrip(), "", *_markdown(table, headings), "", *notes]
    write_text(path, "\n".join(lines) + "\n")
    return [write_csv(table, folder / name), path]


def _markdown(table: pd.DataFrame, headings: dict[str, tuple[str, str]]) -> list[str]:
    about = ["dataset", "arch", "training", "norm", "split"]
    if table.duplicated(about).any():
        about.insert(0, "run")
    lines = ["| " + " | ".join([*about, "seeds", *(heading for heading, _ in headings.values())]) + " |"]
    lines.append("|" + "---|" * len(about) + "---:|" * (len(headings) + 1))
    for row in table.to_dict("records"):
        row["training"] = TRAININGS.get(row["training"], row["training"])
        cells = [str(row[column]) for column in [*about, "num_seeds"]]
        cells += [_cell(row, column, form) for column, (_, form) in headings.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(row: dict[str, float], column: str, form: str) -> str:
    value, low, high = row[column], row[f"{column}_low"], row[f"{column}_high"]
    if np.isnan(value):
        return "–"
    text = form.format(value)
    ends = form.format(low), form.format(high)
    return text if ends == (text, text) else f"{text} [{ends[0]}, {ends[1]}]"
