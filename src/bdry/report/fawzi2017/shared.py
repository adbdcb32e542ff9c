"""Figures `shared_rho`, `shared_energy` and `shared_noise`: directions that curvature shares, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, add_legend, grid, plot, share_panel
from ..points import EXPERIMENT, in_order, over_seeds
from ..style import RC
from .sources import last_rows

SUBSPACES = {
    "shared": "S, shared curved directions",
    "pca": "principal components of images",
    "gradient": "SVD of smallest perturbations",
    "random": "random",
    "mean_hessian": "mean Hessian's leading directions",
    "shared_minus_gradient": "S without that SVD",
    "shared_complement": "complement of S",
    "reachable_complement": "the same, as far as gradients reach",
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


def draw_rho(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `shared_rho` for each data set and architecture whose runs have the table."""
    return save_each(
        "shared_rho",
        rho_data(records),
        records,
        folder,
        _rho_figure,
        RHO_WHAT,
        quartiles=None,
        notes=_methods(records),
    )


def draw_energy(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `shared_energy` likewise."""
    return save_each(
        "shared_energy", energy_data(records), records, folder, _energy_figure, ENERGY_WHAT, quartiles=None
    )


def draw_noise(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `shared_noise` likewise."""
    return save_each(
        "shared_noise",
        noise_data(records),
        records,
        folder,
        _noise_figure,
        NOISE_WHAT,
        quartiles=None,
        notes=_methods(records),
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
            place.axhline(1, color="#888888", linewidth=0.9, linestyle="--")
            plot(place, drawn, legend, panel, x="i")
            place.set_xlabel("shared direction i")
        add_legend(figure, legend)
    return figure


def _energy_figure(drawn: pd.DataFrame, title: str) -> Figure:
    legend = _legend(drawn)
    with matplotlib.rc_context(RC):
        figure, axes = grid(_layout(drawn, "share of the perturbation's energy"), title)
        for place, panel in axes:
            part = drawn[drawn["panel"] == panel.name]
            chance = part.drop_duplicates("k").sort_values("k")
            place.plot(chance["k"], chance["chance"], color="#888888", linewidth=0.9, linestyle="--")
            plot(place, part, legend, panel, x="k")
            place.set_xscale("log")
            ticks = sorted(part["k"].unique())
            place.set_xticks(ticks, [str(k) for k in ticks])
            place.set_xticks([], minor=True)
            place.set_xlabel("first k directions")
        add_legend(figure, legend)
    return figure


def _noise_figure(drawn: pd.DataFrame, title: str) -> Figure:
    legend = _legend(drawn)
    with matplotlib.rc_context(RC):
        figure, axes = grid(_layout(drawn, "share of labels changed"), title)
        for place, panel in axes:
            part = drawn[drawn["panel"] == panel.name]
            plot(place, part, legend, panel, x="rel_norm")
            highest = part[["value", "high"]].max().max()
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


def _methods(records: Sequence[RunRecord]) -> Callable[[pd.DataFrame], str]:
    """Sentences for a caption: how S was measured, and which networks' directions are shared by architecture."""
    summary = last_rows(records, "shared_summary")

    def note(drawn: pd.DataFrame) -> str:
        sentences = []
        for name, part in summary[summary["run"].isin(drawn["run"])].groupby("series"):
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

    return note
