"""What `bdry svm` prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..printed import Rows, Tables

KEYS = ["step", "stage", "fresh", "rescaled", "variant"]
HEADINGS = ("stage", "step", "of stage", "SVM", "angle", "margin ratio", "Jaccard", "agree test", "N loss", "gap")


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """The last layer beside each SVM at the end of each stage, and the steps whose features nothing separates."""
    rows = tables("svm_convergence")
    if rows is None:
        return
    last = rows.groupby(KEYS, sort=False).tail(1)
    for (step,), part in last[last["variant"] == "S1"].groupby(["step"]):
        if not part["separable"].all():
            yield f"step {step}: no layer found that separates these features, hence no hard-margin SVM to converge to"
    shown = [
        (
            f"{row.stage}{', fresh' if row.fresh else ''}{', rescaled' if row.rescaled else ''}",
            str(row.step),
            str(row.stage_step),
            str(row.variant),
            f"{row.angle_full_deg:.3g}",
            f"{row.margin_ratio:.4f}",
            f"{row.jaccard_margin:.3f}",
            f"{row.agree_test:.4f}",
            f"{row.n_times_loss:.3g}",
            f"{row.svm_gap:.1e}",
        )
        for row in last.itertuples()
    ]
    yield Rows("last layer against SVMs, at the end of each stage; angles in degrees", HEADINGS, shown)
