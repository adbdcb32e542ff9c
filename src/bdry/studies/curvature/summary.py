"""What `bdry curvature` prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..printed import Rows, Tables

KEYS = ["step", "family", "method", "scale"]
HEADINGS = ("family", "step", "method", "scale", "points", "max", "min", "mean", "mean > 0", "flat (5 %)")


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """Averages over the boundary points of each family, and what the methods could not see."""
    boundary = tables("boundary")
    if boundary is not None:
        for (step, family), part in boundary.groupby(["step", "family"], sort=False):
            if not part["success"].all():
                there = f"{part['success'].sum()} of {len(part)} images have a boundary point"
                yield f"step {step}, {family}: {there}; the others are rows without"
    found = tables("curvature_summary")
    if found is None:
        return
    if found["affine"].any():
        yield "every curvature is 0: the classifier is affine, nothing bends"
    unseen = set(found.loc[found["method"] == "ad", "kinks"]) - {"none"}
    if unseen:
        yield f"second derivatives do not see what bends at {', '.join(unseen)}; arch=avgcnn has no such layer"
    lost = found[(found["solver"] == "lanczos") & found["kmax"].isna()]
    if len(lost):
        yield (
            f"{len(lost)} of {(found['solver'] == 'lanczos').sum()} spectra: Lanczos' method has not converged; "
            f"kmax and kmin are nan there (solver=dense finds all curvatures, in d products)"
        )
    shown = []
    for (step, family, method, scale), part in found.groupby(KEYS, sort=False, dropna=False):
        numbers = [part[name].mean() for name in ("kmax", "kmin", "mean_kappa")]
        positive = (part["mean_kappa"] > 0).mean()
        flat = part["frac_abs_lt_5pct"].mean()
        about = [str(family), str(step), str(method), f"{scale:.3g}", str(len(part))]
        shown.append([*about, *(f"{number:.3g}" for number in numbers), f"{positive:.2f}", f"{flat:.3f}"])
    title = "curvatures, averages over points; F = f_own - f_other, positive: bends away from the image"
    yield Rows(title, HEADINGS, shown)
