"""How figures look: legible in print, colour-blind-safe (Okabe and Ito's palette), the same bytes every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ..runs.files import replacing, write_text

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

NORM_LABELS = {"l2": r"$\ell_2$", "linf": r"$\ell_\infty$"}


def shown(text: str) -> str:
    """`text` as figures write it: norms as symbols."""
    for norm, label in sorted(NORM_LABELS.items(), key=lambda item: -len(item[0])):
        text = text.replace(norm, label)
    return text


RC: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
    "figure.dpi": 150,
    "figure.constrained_layout.w_pad": 0.09,
}


def save(figure: Figure, drawn: pd.DataFrame, stem: Path, caption: str = "") -> list[Path]:
    """Writes `<stem>.png`, `<stem>.pdf`, `<stem>.csv`, which holds exactly what is drawn, and `<stem>.caption.md`.

    Without a caption there is no file of it.
    """
    paths = []
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        path = stem.with_name(f"{stem.name}.{ending}")
        with replacing(path) as temporary, matplotlib.rc_context(RC):
            figure.savefig(temporary, format=ending, metadata=metadata, bbox_inches="tight")
        paths.append(path)
    paths.append(write_csv(drawn, stem))
    if caption:
        paths.append(stem.with_name(f"{stem.name}.caption.md"))
        write_text(paths[-1], caption)
    return paths


def write_csv(rows: pd.DataFrame, stem: Path) -> Path:
    """Writes `<stem>.csv`: nine significant digits, the same bytes on every system."""
    path = stem.with_name(f"{stem.name}.csv")
    write_text(path, rows.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    return path
