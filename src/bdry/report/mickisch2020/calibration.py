"""Figure `calibration`: confidence against accuracy, and against the margin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, add_legend, epoch_axis, grid, norms_in, plot, share_panel
from ..points import EXPERIMENT, FEWEST_IMAGES, IDENTITY, in_order, last_moment, of_study, over_seeds, rows_of, series
from ..style import NORM_LABELS, RC
from ..trend import spearman

NUM_BINS = 10
# a bin of fewer images is not drawn; it counts in the expected calibration error
FEWEST_IN_BIN = 5
LINES = {"test": 0, "train": 1, "correct": 0, "misclassified": 1}
MOMENT = [*IDENTITY, "split", "step", "epoch"]
WHAT = (
    f"Calibration. Top left: reliability diagram of test images at the last moment, {NUM_BINS} bins of equal width, "
    f"those with fewer than {FEWEST_IN_BIN} images not drawn. Top right: expected calibration error over training. "
    "Below: Spearman's rank correlation of confidence and margin over the correctly classified and over the "
    f"misclassified test images, by norm, where there are at least {FEWEST_IMAGES}."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture."""
    return save_each("calibration", drawn_data(records), records, folder, _figure, WHAT, quartiles=False)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws; panels `reliability`, `ece`, `l2` and `linf`.

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
        at = reliability.groupby(["run", "bin"])["confidence"].mean().reset_index()
        drawn.append(bins.merge(at).drop(columns="bin"))
    together = pd.concat(drawn, ignore_index=True).drop(columns=["lower_bound", "adv_eps"])
    # no run may have confidences at its last moment
    together = together.reindex(columns=list(dict.fromkeys([*together.columns, "confidence"])))
    together["series"] = series(together)
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


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
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
    legend = Legend(in_order(drawn["series"]), "line", LINES)
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
                place.plot([0, 1], [0, 1], color="#777777", linewidth=0.8, linestyle=":")
                place.set_xlim(-0.02, 1.02)
        add_legend(figure, legend)
    return figure
