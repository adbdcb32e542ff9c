"""Figures of margins over training (mickisch2020): `margin_evolution`, R1-R3, `transfer`, `controls` and `factors`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....figures.curves import (
    SPLITS,
    Legend,
    Panel,
    add_legend,
    by_split,
    epoch_axis,
    grid,
    margin_panel,
    norms_in,
    over_epochs,
    plot,
    share_panel,
)
from ....figures.drawing import Drawing, each
from ....figures.points import (
    CONTROL,
    EXPERIMENT,
    FEWEST_IMAGES,
    IDENTITY,
    history_points,
    in_order,
    last_moment,
    margin_points,
    of_study,
    over_seeds,
    rows_of,
    series,
)
from ....figures.style import NORM_LABELS, RC, shown
from ....runs import RunRecord
from .tables import MARGINS

ERRORS = (
    ("error", "train", "train_accuracy"),
    ("error", "test", "test_accuracy"),
    ("robust_error", "test", "robust_accuracy"),
)
EVOLUTION_WHAT = (
    "Mean margin over training on the train and test split, by norm; below it the error, clean and under PGD."
)


def evolution_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `margin_evolution` draws: one row per point of a curve.

    Panels are `l2`, `linf`, `error` and `robust_error`.

    value, low, high, num_seeds, num_images: as in `points.over_seeds`. lower_bound: mean certified one, where margins
    were bracketed. adv_eps: the radius trained against, in the norm of the panel.
    """
    points = pd.concat([margin_points(records), history_points(records, ERRORS)], ignore_index=True)
    is_control = points["study"].str.startswith(CONTROL)
    points = points[~is_control | is_control.groupby([points["dataset"], points["arch"]]).transform("all")]
    points = points.assign(series=series(points, records))
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])


def _evolution_figure(drawn: pd.DataFrame, title: str) -> Figure:
    margins = [margin_panel(norm) for norm in norms_in(drawn["panel"])]
    errors = [
        share_panel("error", "error (share of images)"),
        share_panel("robust_error", "error under PGD\n(share of test images)"),
    ]
    errors = [panel for panel in errors if (drawn["panel"] == panel.name).any()]
    layout = [row for row in (margins, errors) if row]
    return over_epochs(drawn, layout, by_split(in_order(drawn["series"]), drawn), title)


BELOW = (
    ("error", "train", "train_accuracy"),
    ("error", "test", "test_accuracy"),
    ("loss", "train", "train_loss"),
    ("loss", "test", "test_loss"),
)
R1_WHAT = "Standard training: mean margin of train and test images over training, by norm; below it error and loss."


def r1_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `R1` draws: columns of `points.over_seeds`; panels `l2`, `linf`, `error` and `loss`."""
    standard = [record for record in of_study(records, "main") if record.identity["training"] == "standard"]
    margins, below = margin_points(standard), history_points(standard, BELOW)
    points = pd.concat([margins, below[below["experiment"].isin(margins["experiment"])]], ignore_index=True)
    points["series"] = series(points, records)
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])


def _r1_figure(drawn: pd.DataFrame, title: str) -> Figure:
    layout = [
        [margin_panel(norm) for norm in norms_in(drawn["panel"])],
        [share_panel("error", "error (share of images)"), Panel("loss", "cross-entropy (nats)", log=True)],
    ]
    return over_epochs(drawn, layout, by_split(in_order(drawn["series"]), drawn), title)


SUBSETS = {"correct": "correct", "incorrect": "misclassified"}
R2_WHAT = "Mean margin of correctly classified and of misclassified images over training, by norm and training."


def r2_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `R2` draws: columns of `points.over_seeds`, series `correct` and `misclassified`.

    A point is left out where a seed has fewer than 20 images in it: seeds would otherwise come and go within a curve.
    """
    cells = _cells(records)
    return cells[~cells["too_few"]].drop(columns="too_few")


def _cells(records: Sequence[RunRecord]) -> pd.DataFrame:
    main = of_study(records, "main")
    points = pd.concat(
        [margin_points(main, subset).assign(series=name) for subset, name in SUBSETS.items()], ignore_index=True
    )
    points["training_label"] = series(points, records)
    points["adv_eps"] = float("nan")
    cells = over_seeds(points, [*EXPERIMENT, "training_label", "series", "panel", "split"])
    return cells.assign(too_few=cells["num_images"] < FEWEST_IMAGES)


def _left_out(records: Sequence[RunRecord], part: pd.DataFrame) -> str:
    """Which cells of the figure that shows `part` had too few images."""
    cells = _cells(records)
    dropped = cells[cells["too_few"] & cells["experiment"].isin(part["experiment"])]
    phrases = []
    for (training, split, name), cell in dropped.groupby(["training_label", "split", "series"], sort=True):
        epochs = sorted(cell["epoch"].unique())
        phrases.append(f"{training}, {split} {name} at epoch {', '.join(f'{epoch:.3g}' for epoch in epochs)}")
    if not phrases:
        return ""
    return f"Left out, with fewer than {FEWEST_IMAGES} images in a seed: {'; '.join(phrases)}."


def _r2_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms, trainings = norms_in(drawn["panel"]), in_order(drawn["training_label"])
    layout = [[margin_panel(norm, f"{name} {norm}", name) for norm in norms] for name in trainings]
    placed = drawn.assign(panel=drawn["training_label"] + " " + drawn["panel"])
    return over_epochs(placed, layout, by_split(list(SUBSETS.values()), drawn), title)


R3_WHAT = (
    "Mean margin over standard and over adversarial training, by split and norm. Dashed line: the radius that was "
    "trained against, in the attack's norm."
)


def r3_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `R3` draws: columns of `points.over_seeds`, a series a training."""
    points = margin_points(of_study(records, "main"))
    points["series"] = series(points, records)
    drawn = over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])
    return drawn[with_adversary(drawn)]


def with_adversary(drawn: pd.DataFrame) -> pd.Series:
    """Which rows are of a data set and architecture that has adversarial training to compare."""
    adversarial = drawn["training"] != "standard"
    return adversarial.groupby([drawn["dataset"], drawn["arch"]]).transform("any")


def _r3_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = norms_in(drawn["panel"])
    layout = [[margin_panel(norm, f"{split} {norm}", f"{split} images") for norm in norms] for split in SPLITS]
    placed = drawn.assign(panel=drawn["split"] + " " + drawn["panel"])
    return over_epochs(placed, layout, Legend(in_order(drawn["series"])), title)


SIDE_BY_SIDE = {"train": -0.12, "test": 0.12}
TRANSFER_WHAT = (
    "Transfer between norms: mean margins of test images over training, by the norm trained against (colour) and the "
    "norm measured (column); below it those of train and test images at the last moment. Dashed line: the radius that "
    "was trained against, in the attack's norm."
)


def transfer_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `transfer` draws: columns of `points.over_seeds`; panels `l2`, `linf`, `last l2` and `last linf`."""
    points = margin_points(of_study(records, "main", "transfer"))
    points["series"] = series(points, records)
    last = last_moment(points)
    placed = pd.concat([points[points["split"] == "test"], last.assign(panel="last " + last["panel"])])
    drawn = over_seeds(placed, [*EXPERIMENT, "series", "panel", "split"])
    return drawn[with_adversary(drawn)]


def _transfer_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms, names = norms_in(drawn["panel"]), in_order(drawn["series"])
    layout = [
        [margin_panel(norm, title="test images") for norm in norms],
        [margin_panel(norm, f"last {norm}", "last moment") for norm in norms],
    ]
    legend = by_split(names, drawn)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            points = drawn[drawn["panel"] == panel.name]
            if panel.name.startswith("last"):
                _last(place, points, legend)
            else:
                plot(place, points, legend, panel)
                epoch_axis(place, points["epoch"])
                place.set_xlabel("epoch")
        add_legend(figure, legend)
    return figure


def _last(axis: Axes, points: pd.DataFrame, legend: Legend) -> None:
    for row in points.itertuples():
        style = {**legend.style(row.series, row.split), "linestyle": "", "markersize": 5}
        x = legend.series.index(row.series) + SIDE_BY_SIDE[row.split]
        axis.plot([x], [row.value], **style)
        if row.low == row.low:
            axis.vlines(x, row.low, row.high, color=style["color"], linewidth=1.2)
    axis.set_xticks(range(len(legend.series)), [shown(name) for name in legend.series])
    axis.set_xlim(-0.5, len(legend.series) - 0.5)
    axis.set_xlabel("training")
    axis.set_ylim(bottom=0)


CONTROLS_WHAT = (
    "Mean margin over training in each control beside the main runs of standard training, by split and norm."
)


def controls_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `controls` draws: columns of `points.over_seeds`, a series a control, `standard` the main runs."""
    chosen = []
    for record in records:
        about = record.identity
        if about["study"].startswith(CONTROL) or (about["study"] == "main" and about["training"] == "standard"):
            chosen.append(record)
    # bands of images would hide those of seeds
    points = margin_points(chosen).drop(columns=["q25", "q75"])
    points["series"] = series(points, records, several_archs=True)
    drawn = over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])
    is_control = drawn["study"] != "main"
    return drawn[is_control.groupby(drawn["dataset"]).transform("any")]


def _controls_figure(drawn: pd.DataFrame, title: str) -> Figure:
    layout = [
        [margin_panel(norm, f"{split} {norm}", f"{split} images") for norm in norms_in(drawn["panel"])]
        for split in SPLITS
    ]
    placed = drawn.assign(panel=drawn["split"] + " " + drawn["panel"])
    return over_epochs(placed, layout, Legend(in_order(drawn["series"])), title)


FACTORS = {
    "margin": "{} margin to first order\n(pixel units of [0, 1])",
    "logit_gap": "logit gap of the\nnearest class, {}",
    "gradient_norm": "dual norm of the gap's\ngradient, {}",
}
FACTORS_WHAT = (
    "The margin to first order, logit gap over the dual norm of the gap's gradient at the image, and below it the two, "
    "by norm: geometric means over images, so that the logarithms of the curves add up. No estimator is involved."
)


def factors_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `factors` draws: columns of `points.over_seeds`; panels `<factor> <norm>`.

    value: geometric mean over the images whose gap and gradient norm are above 0. Quartiles, where there is one seed,
    are over the same images.
    """
    rows = rows_of(of_study(records, "main"), "first_order")
    rows = rows[(rows["logit_gap"] > 0) & (rows["gradient_norm"] > 0)]
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    moment = [*IDENTITY, "split", "step", "epoch", "norm"]
    parts = []
    for factor in FACTORS:
        logs = np.log(rows[factor]).groupby([rows[name] for name in moment])
        quartiles = np.exp(logs.quantile([0.25, 0.75]).unstack()).set_axis(["q25", "q75"], axis=1)
        found = quartiles.assign(value=np.exp(logs.mean()), num_images=logs.size()).reset_index()
        parts.append(found.assign(panel=f"{factor} " + found["norm"]))
    points = pd.concat(parts, ignore_index=True)
    points["series"] = series(points, records)
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])


def _factors_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = norms_in(drawn["panel"].str.split().str[-1])
    layout = [
        [Panel(f"{factor} {norm}", label.format(NORM_LABELS[norm]), log=True) for norm in norms]
        for factor, label in FACTORS.items()
    ]
    return over_epochs(drawn, layout, Legend(in_order(drawn["series"]), "split", SPLITS), title)


FIGURES = (
    Drawing(
        "margin_evolution",
        "finished runs",
        ("margin_summary", "history"),
        each(evolution_data, _evolution_figure, EVOLUTION_WHAT),
    ),
    Drawing("R1", f"main {MARGINS} and adv=none", ("margin_summary",), each(r1_data, _r1_figure, R1_WHAT)),
    Drawing("R2", f"main {MARGINS}", ("margin_summary",), each(r2_data, _r2_figure, R2_WHAT, notes=_left_out)),
    Drawing("R3", f"main {MARGINS}, at least one adv=pgd", ("margin_summary",), each(r3_data, _r3_figure, R3_WHAT)),
    Drawing(
        "transfer",
        f"main or transfer {MARGINS}, at least one adv=pgd",
        ("margin_summary",),
        each(transfer_data, _transfer_figure, TRANSFER_WHAT),
    ),
    Drawing(
        "controls",
        f"{MARGINS} and study='control: <what>'",
        ("margin_summary",),
        each(controls_data, _controls_figure, CONTROLS_WHAT, by=["dataset"], quartiles=False),
    ),
    Drawing(
        "factors",
        "main runs with probe=[margin] and the table first_order",
        ("first_order",),
        each(factors_data, _factors_figure, FACTORS_WHAT),
    ),
)
