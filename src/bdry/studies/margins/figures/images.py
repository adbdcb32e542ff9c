"""Figures of single images' margins: R4, their distribution, and `calibration`, beside confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ....core.statistics import spearman
from ....figures.curves import (
    Legend,
    Panel,
    add_legend,
    by_split,
    epoch_axis,
    grid,
    lines_in,
    norms_in,
    plot,
    share_panel,
)
from ....figures.drawing import Drawing, each
from ....figures.points import (
    EXPERIMENT,
    FEWEST_IMAGES,
    IDENTITY,
    in_order,
    last_moment,
    of_study,
    over_seeds,
    rows_of,
    series,
)
from ....figures.style import NORM_LABELS, RC
from ....runs import RunRecord
from .tables import LATE_ACCURACY, MARGINS

EARLY_EPOCH = 1.0
EARLY, LATE, LAST = MOMENTS = ("early", "train accuracy 99 %", "last")
NUM_POINTS = 120
R4_WHAT = (
    "Distribution of margins: share of images whose margin is at most the value on the x axis, at a few moments of "
    "training; images without a margin found count as farther."
)


def r4_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `R4` draws: a row a point of an empirical distribution function, whose value is the share.

    margin: the point, in pixel units of [0, 1]. series: `early` is the last moment of the first epoch (or the first
    one after initialisation), `train accuracy 99 %` the first with it, `last` the last; a moment that is two of these
    is the later. epoch_low, epoch_high: of the seeds' moments.
    """
    main = of_study(records, "main")
    margins, history = rows_of(main, "margins"), rows_of(main, "history")
    if margins.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    moments = margins[["experiment", "seed", "step", "epoch"]].drop_duplicates()
    moments = moments.merge(history[["experiment", "seed", "step", "train_accuracy"]], how="left")
    named = pd.concat([_named(part.sort_values("step")) for _, part in moments.groupby(["experiment", "seed"])])
    chosen = margins.merge(named[["experiment", "seed", "step", "series"]])
    chosen["training_label"] = series(chosen, records)
    curve = [*EXPERIMENT, "training_label", "series", "norm", "split"]
    points = pd.concat(
        [_distributions(panel) for _, panel in chosen.groupby(["experiment", "norm"])], ignore_index=True
    )
    drawn = over_seeds(points, curve, along=["margin"]).rename(columns={"norm": "panel"})
    when = named.groupby(["experiment", "series"])["epoch"].agg(epoch_low="min", epoch_high="max").reset_index()
    return drawn.drop(columns=["lower_bound", "adv_eps"]).merge(when)


def _named(moments: pd.DataFrame) -> pd.DataFrame:
    """The moments of one run and seed that are drawn, by name."""
    after = moments[moments["step"] > 0]
    early = after[after["epoch"] <= EARLY_EPOCH].tail(1) if len(after) else moments.head(0)
    early = after.head(1) if early.empty else early
    late = moments[moments["train_accuracy"] >= LATE_ACCURACY].head(1)
    parts = zip((early, late, moments.tail(1)), MOMENTS, strict=True)
    return pd.concat([part.assign(series=name) for part, name in parts]).drop_duplicates("step", keep="last")


def _distributions(rows: pd.DataFrame) -> pd.DataFrame:
    """Distribution functions of one run and norm, a row a point of `NUM_POINTS`, split, moment and seed."""
    found = rows.loc[rows["success"].astype(bool), "margin"]
    at = np.linspace(0, found.max() if len(found) else 1.0, NUM_POINTS)
    keys = [*EXPERIMENT, "training_label", "seed", "series", "norm", "split"]
    parts = []
    for values, part in rows.groupby(keys):
        margins = np.sort(part["margin"].to_numpy(np.float64))  # nan, for none found, comes last
        share = np.searchsorted(margins, at, side="right") / len(part)
        about = dict(zip(keys, values, strict=True))
        parts.append(pd.DataFrame({**about, "margin": at, "value": share, "num_images": len(part)}))
    return pd.concat(parts, ignore_index=True)


def _when(records: Sequence[RunRecord], part: pd.DataFrame) -> str:
    phrases = []
    for (training, name), rows in part.groupby(["training_label", "series"], sort=True):
        low, high = rows["epoch_low"].iloc[0], rows["epoch_high"].iloc[0]
        phrases.append(f"{training}, {name}: epoch {low:.3g}" + (f" to {high:.3g}" if high > low else ""))
    return f"Moments: {'; '.join(phrases)}."


def _r4_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms, trainings = norms_in(drawn["panel"]), in_order(drawn["training_label"])
    layout = [[Panel(f"{name} {norm}", "share of images", name) for norm in norms] for name in trainings]
    placed = drawn.assign(panel=drawn["training_label"] + " " + drawn["panel"], lower_bound=np.nan, adv_eps=np.nan)
    legend = by_split([name for name in MOMENTS if (drawn["series"] == name).any()], drawn)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            plot(place, placed[placed["panel"] == panel.name], legend, panel, x="margin")
            place.set_xlim(left=0)
            norm = panel.name.rsplit(" ", 1)[1]
            place.set_xlabel(f"{NORM_LABELS[norm]} margin (pixel units of [0, 1])")
        add_legend(figure, legend)
    return figure


NUM_BINS = 10
CALIBRATED: dict[str, Any] = {"color": "#777777", "linewidth": 0.8, "linestyle": ":"}
# a bin of fewer images is not drawn; it counts in the expected calibration error
FEWEST_IN_BIN = 5
LINES = {"above: test": 0, "above: train": 1, "below: correct": 0, "below: misclassified": 2}
MOMENT = [*IDENTITY, "split", "step", "epoch"]
CALIBRATION_WHAT = (
    f"Calibration. Top left: reliability diagram of test images at the last moment, {NUM_BINS} bins of equal width, "
    f"those with fewer than {FEWEST_IN_BIN} images not drawn. Top right: expected calibration error over training. "
    "Below: Spearman's rank correlation of confidence and margin over the correctly classified and over the "
    f"misclassified test images, by norm, where there are at least {FEWEST_IMAGES}."
)


def calibration_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `calibration` draws; panels `reliability`, `ece`, `l2` and `linf`.

    confidence: mean confidence in the bin of panel reliability, else nan. line: the split, or in `l2` and `linf`
    whether the images are correctly classified. value, low, high, num_seeds, num_images: as in `points.over_seeds`.
    """
    margins = rows_of(of_study(records, "main"), "margins")
    if margins.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    # confidence stands beside every norm's margin
    images = margins.drop_duplicates([*MOMENT, "index"])
    parts = [_errors(images), _correlations(margins[margins["split"] == "test"])]
    curve = [*EXPERIMENT, "panel", "line"]
    drawn = [over_seeds(part, curve) for part in parts if len(part)]
    reliability = _reliabilities(last_moment(images[images["split"] == "test"]))
    if len(reliability):
        bins = over_seeds(reliability, curve, along=["bin"])
        at = reliability.groupby(["experiment", "bin"])["confidence"].mean().reset_index()
        drawn.append(bins.merge(at).drop(columns="bin"))
    together = pd.concat(drawn, ignore_index=True).drop(columns=["lower_bound", "adv_eps"])
    # no run may have confidences at its last moment
    together = together.reindex(columns=list(dict.fromkeys([*together.columns, "confidence"])))
    together["series"] = series(together, records)
    return together


def reliability(correct: np.ndarray, confidence: np.ndarray) -> pd.DataFrame:
    """The reliability diagram: a row a bin with images; columns bin, confidence and accuracy (means), num_images.

    `NUM_BINS` bins of equal width over [0, 1] (Guo et al. 2017, arXiv 1706.04599, section 2, for the predicted class).
    """
    # here, because it is slow to import and most commands do without
    from sklearn.calibration import calibration_curve

    accuracy, mean_confidence = calibration_curve(
        correct.astype(np.int64), confidence, n_bins=NUM_BINS, strategy="uniform", pos_label=1
    )
    # the bins that calibration_curve uses, of which it gives the means but not the counts
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence), minlength=NUM_BINS)
    bins = np.flatnonzero(counts)
    return pd.DataFrame({"bin": bins, "confidence": mean_confidence, "accuracy": accuracy, "num_images": counts[bins]})


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Mean over images of |accuracy - confidence| of the image's bin (Guo et al. 2017, eq. 3), in [0, 1]."""
    return float(np.average((bins["accuracy"] - bins["confidence"]).abs(), weights=bins["num_images"]))


def _errors(images: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for values, part in images.groupby(MOMENT):
        about = dict(zip(MOMENT, values, strict=True))
        bins = reliability(part["correct"].to_numpy(bool), part["confidence"].to_numpy(np.float64))
        value = expected_calibration_error(bins)
        rows.append({**about, "panel": "ece", "line": about["split"], "value": value, "num_images": len(part)})
    return pd.DataFrame(rows)


def _reliabilities(images: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for values, part in images.groupby(MOMENT):
        about = dict(zip(MOMENT, values, strict=True))
        bins = reliability(part["correct"].to_numpy(bool), part["confidence"].to_numpy(np.float64))
        bins = bins[bins["num_images"] >= FEWEST_IN_BIN].rename(columns={"accuracy": "value"})
        parts.append(bins.assign(**about, panel="reliability", line=about["split"]))
    return pd.concat(parts, ignore_index=True) if parts else images.head(0)


def _correlations(margins: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for values, part in margins[margins["success"].astype(bool)].groupby([*MOMENT, "norm", "correct"]):
        about = dict(zip([*MOMENT, "panel", "line"], values, strict=True))
        about["line"] = "correct" if about["line"] else "misclassified"
        if len(part) >= FEWEST_IMAGES:
            rows.append({**about, "value": spearman(part["confidence"], part["margin"]), "num_images": len(part)})
    return pd.DataFrame(rows).dropna(subset=["value"]) if rows else pd.DataFrame()


def _calibration_figure(drawn: pd.DataFrame, title: str) -> Figure:
    correlation = "rank correlation of confidence\nand {} margin"
    layout = [
        [
            share_panel("reliability", "accuracy", "test images, last moment"),
            Panel("ece", "expected calibration error"),
        ],
        [
            Panel(norm, correlation.format(NORM_LABELS[norm]), "test images", bottom=-1.05, top=1.05)
            for norm in norms_in(drawn["panel"])
        ],
    ]
    above = drawn["panel"].isin(["reliability", "ece"])
    drawn = drawn.assign(line=above.map({True: "above: ", False: "below: "}) + drawn["line"])
    legend = Legend(in_order(drawn["series"]), "line", lines_in(LINES, drawn["line"]))
    with matplotlib.rc_context(RC):
        figure, axes = grid([row for row in layout if row], title)
        for place, panel in axes:
            points = drawn[drawn["panel"] == panel.name].assign(lower_bound=np.nan, adv_eps=np.nan)
            over = "confidence" if panel.name == "reliability" else "epoch"
            plot(place, points, legend, panel, x=over)
            place.set_xlabel(over)
            if over == "epoch":
                epoch_axis(place, drawn["epoch"].dropna())
            else:
                place.plot([0, 1], [0, 1], **CALIBRATED)
                place.set_xlim(-0.02, 1.02)
        add_legend(figure, legend, {"calibrated": CALIBRATED})
    return figure


FIGURES = (
    Drawing("R4", f"main {MARGINS}", ("margins",), each(r4_data, _r4_figure, R4_WHAT, quartiles=False, notes=_when)),
    Drawing(
        "calibration",
        f"main {MARGINS}",
        ("margins",),
        each(calibration_data, _calibration_figure, CALIBRATION_WHAT, quartiles=False),
    ),
)
