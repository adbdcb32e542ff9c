"""`bdry curvature`: how the decision boundary of a run's classifier bends."""

from __future__ import annotations

import pandas as pd

from ..runs import TABLES, Measurement, read_table
from ..studies.curvature.settings import CurvatureConfig
from .console import show
from .measure import measure_run

KEYS = ["step", "family", "method", "scale"]


def run(config: CurvatureConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured, and sums it up."""
    folder = measure_run(config, "curvature", "curvature", "fawzi2017")
    boundary = read_table(folder.table_path("boundary"), TABLES["boundary"])
    for (step, family), part in boundary.groupby(["step", "family"], sort=False):
        if not part["success"].all():
            there = f"{part['success'].sum()} of {len(part)} images have a boundary point"
            print(f"step {step}, {family}: {there}; the others are rows without")
    summary = _summary(folder)
    if summary is None:
        return folder
    if summary["affine"].any():
        print("every curvature is 0: the classifier is affine, nothing bends")
    unseen = set(summary.loc[summary["method"] == "ad", "kinks"]) - {"none"}
    if unseen:
        print(f"second derivatives do not see what bends at {', '.join(unseen)}; arch=avgcnn has no such layer")
    shown = []
    for (step, family, method, scale), part in summary.groupby(KEYS, sort=False, dropna=False):
        numbers = [part[name].mean() for name in ("kmax", "kmin", "mean_kappa")]
        positive = (part["mean_kappa"] > 0).mean()
        flat = part["frac_abs_lt_5pct"].mean()
        about = [str(family), str(step), str(method), f"{scale:.3g}", str(len(part))]
        shown.append([*about, *(f"{number:.3g}" for number in numbers), f"{positive:.2f}", f"{flat:.3f}"])
    headings = ["family", "step", "method", "scale", "points", "max", "min", "mean", "mean > 0", "flat (5 %)"]
    show("curvatures, averages over points; F = f_own - f_other, positive: bends away from the image", headings, shown)
    return folder


def _summary(folder: Measurement) -> pd.DataFrame | None:
    path = folder.table_path("curvature_summary")
    return read_table(path, TABLES["curvature_summary"]) if path.exists() else None
