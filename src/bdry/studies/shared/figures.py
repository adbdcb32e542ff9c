"""Figures of curved directions that images share (fawzi2017): `shared_rho`, `_directions`, `_energy` and `_noise`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...figures.curves import LEVEL, Legend, Panel, add_legend, grid, log_ticks, plot, share_panel
from ...figures.drawing import Drawing, each
from ...figures.networks import last_rows
from ...figures.pictures import Arrays, each_series, picture_grid
from ...figures.points import EXPERIMENT, in_order, over_seeds
from ...figures.style import RC
from ...runs import RunRecord

MEASURED = "runs measured by bdry shared run=<run>, or with probe=[shared]"
SUBSPACES = {
    "shared": "S, shared curved directions",
    "pca": "principal components of images",
    "gradient": "SVD of smallest perturbations",
    "mean_hessian": "mean Hessian's leading directions",
    "random": "random",
    "shared_minus_gradient": "S without the SVD's directions",
    "shared_complement": "complement of S",
    "reachable_complement": "complement of S where gradients reach",
}
RHO_WHAT = (
    "Mean over unseen images of rho_i, the curvature of the boundary along the i-th shared direction over that along a "
    "random one (dashed: 1), both without their sign; of a single seed the band is the mean's bootstrap interval."
)
ENERGY_WHAT = (
    "Share of the squared length of unseen images' DeepFool perturbations in the first k directions of each subspace, "
    "mean over images; dashed: k / d, by chance."
)
NOISE_WHAT = (
    "Share of test images whose predicted label changes by noise in each subspace, the same draws in all. "
    "Noise in S and its complement alone does not tell curved from steep directions: the others are the controls. Of a "
    "single seed the band is the 95 % Wilson interval."
)


def rho_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `shared_rho` draws: a row a series and direction i; columns of `points.over_seeds`."""
    rows = last_rows(records, "shared_rho")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    points = rows.rename(columns={"mean_rho": "value", "ci_low": "q25", "ci_high": "q75"})
    return over_seeds(points.dropna(subset=["value"]), [*EXPERIMENT, "series"], along=["i"])


def energy_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `shared_energy` draws: a row a network (column `panel`), subspace (`series`) and k."""
    rows = last_rows(records, "shared_energy")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    points = _by_subspace(rows.rename(columns={"mean_energy": "value"})).dropna(subset=["value"])
    return over_seeds(points, [*EXPERIMENT, "panel", "series"], along=["k", "chance"])


def noise_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `shared_noise` draws: a row a network (column `panel`), subspace (`series`) and relative norm."""
    rows = last_rows(records, "shared_noise")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    points = _by_subspace(rows.rename(columns={"label_change_rate": "value", "ci_low": "q25", "ci_high": "q75"}))
    return over_seeds(points.dropna(subset=["value"]), [*EXPERIMENT, "panel", "series"], along=["rel_norm"])


def _by_subspace(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(panel=rows["series"], series=rows["subspace"].map(SUBSPACES))


def _rho_figure(drawn: pd.DataFrame, title: str) -> Figure:
    legend, panel = Legend(in_order(drawn["series"])), Panel("rho", "mean rho at unseen images", log=True)
    with matplotlib.rc_context(RC):
        figure, axes = grid([[panel]], title)
        for place, _ in axes:
            place.axhline(1, **LEVEL)
            plot(place, drawn, legend, panel, x="i")
            place.set_xlabel("shared direction i")
        add_legend(figure, legend, {"as along a random direction": LEVEL})
    return figure


def _energy_figure(drawn: pd.DataFrame, title: str) -> Figure:
    legend = _legend(drawn)
    with matplotlib.rc_context(RC):
        figure, axes = grid(_layout(drawn, "share of the perturbation's energy"), title)
        for place, panel in axes:
            part = drawn[drawn["panel"] == panel.name]
            chance = part.drop_duplicates("k").sort_values("k")
            place.plot(chance["k"], chance["chance"], **LEVEL)
            plot(place, part, legend, panel, x="k")
            log_ticks(place, part["k"])
            place.set_xlabel("first k directions")
        add_legend(figure, legend, {"by chance": LEVEL})
    return figure


def _noise_figure(drawn: pd.DataFrame, title: str) -> Figure:
    legend = _legend(drawn)
    # networks are compared, hence one scale
    highest = drawn[["value", "high"]].max().max()
    with matplotlib.rc_context(RC):
        figure, axes = grid(_layout(drawn, "share of labels changed"), title)
        for place, panel in axes:
            part = drawn[drawn["panel"] == panel.name]
            plot(place, part, legend, panel, x="rel_norm")
            place.set_ylim(-0.03 * highest, 1.05 * highest or 1.0)
            place.set_xlabel("norm of the noise / mean norm of an image")
        add_legend(figure, legend)
    return figure


def _legend(drawn: pd.DataFrame) -> Legend:
    return Legend([name for name in SUBSPACES.values() if (drawn["series"] == name).any()])


def _layout(drawn: pd.DataFrame, ylabel: str) -> list[list[Panel | None]]:
    """A panel a network, three a row."""
    panels: list[Panel | None] = [share_panel(name, ylabel, name) for name in in_order(drawn["panel"])]
    return [panels[start : start + 3] for start in range(0, len(panels), 3)]


def _methods(records: Sequence[RunRecord], drawn: pd.DataFrame) -> str:
    """How S was measured, and which networks' directions are shared by architecture, for a caption."""
    summary = last_rows(records, "shared_summary")
    sentences = []
    for name, part in summary[summary["experiment"].isin(drawn["experiment"])].groupby("series"):
        method, scale = part["method"].iloc[0], part["scale"].iloc[0]
        how = "exact second derivatives" if method == "ad" else f"{method} {scale:g}"
        dim, num_points = part["dim"].min(), part["num_points"].min()
        sentences.append(f"{name}: {how}, S of {dim} dimensions from {num_points} images.")
        if part["confounded"].astype(bool).any():
            sentences.append(
                f"This network reacts to {part['reach_rank'].max()} dimensions only: its directions are shared and "
                "noise off them is harmless, by architecture."
            )
    return " ".join(sentences)


ROWS = ("shared", "gradient", "pca", "random")
MOST = 10
DIRECTIONS_WHAT = (
    "The first directions of the shared subspace S, of the smallest perturbations' SVD, of the images' principal "
    "components and of a random basis, as images: red positive, blue negative, each on its own scale; signs are "
    "arbitrary. Channels are averaged. The paper finds the first row like localised Gabor filters."
)


def directions_data(rows: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
    """The rows of table `shared_rho` of the directions drawn."""
    columns = ["i", "singular_value", "mean_rho", "num_images", "space_extent", "frequency_extent"]
    return rows.loc[rows["i"] <= min(MOST, len(arrays["shared"])), columns]


def _directions_figure(drawn: pd.DataFrame, arrays: Arrays, title: str) -> Figure:
    rho = drawn.set_index("i")["mean_rho"]
    with matplotlib.rc_context(RC):
        figure, axes = picture_grid(len(ROWS), len(drawn), title, size=0.85)
        for row, name in zip(axes, ROWS, strict=True):
            for number, place in enumerate(row):
                if number < len(arrays[name]):
                    _show(place, arrays[name][number])
                else:
                    place.set_axis_off()
                if name == "shared":
                    place.set_title(f"rho {rho[number + 1]:.3g}", fontsize=7)
            label = SUBSPACES[name].replace(", ", ",\n").replace(" of ", "\nof ")
            row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    return figure


def _show(axis: Axes, image: np.ndarray) -> None:
    grey = image.mean(0)
    end = abs(grey).max() or 1.0
    axis.imshow(grey, cmap="RdBu_r", vmin=-end, vmax=end, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)


FIGURES = (
    Drawing(
        "shared_rho", MEASURED, ("shared_rho",), each(rho_data, _rho_figure, RHO_WHAT, quartiles=None, notes=_methods)
    ),
    Drawing(
        "shared_directions",
        MEASURED,
        ("shared_rho",),
        each_series("shared_rho", "shared_dirs", directions_data, _directions_figure, DIRECTIONS_WHAT),
    ),
    Drawing(
        "shared_energy", MEASURED, ("shared_energy",), each(energy_data, _energy_figure, ENERGY_WHAT, quartiles=None)
    ),
    Drawing(
        "shared_noise",
        MEASURED,
        ("shared_noise",),
        each(noise_data, _noise_figure, NOISE_WHAT, quartiles=None, notes=_methods),
    ),
)
