"""How figures look: legible in print, colour-blind-safe (Okabe and Ito's palette), the same bytes every time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

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

    Without a caption there is no file of it. The PNG has a palette of 256 colours: a third of the size.
    """
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "pdf")]
    with replacing(paths[0]) as temporary:
        _picture(figure).save(temporary, "PNG", optimize=True)
    with replacing(paths[1]) as temporary, matplotlib.rc_context(RC):
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None}, bbox_inches="tight")
    paths.append(write_csv(drawn, stem))
    if caption:
        paths.append(stem.with_name(f"{stem.name}.caption.md"))
        write_text(paths[-1], caption)
    return paths


def _picture(figure: Figure) -> Image.Image:
    """The figure in 256 colours at most, chosen by median cut, without dithering."""
    drawn = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(drawn, format="png", bbox_inches="tight", pil_kwargs={"compress_level": 0})
    with Image.open(drawn) as picture:
        return picture.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def write_csv(rows: pd.DataFrame, stem: Path) -> Path:
    """Writes `<stem>.csv`: nine significant digits, the same bytes on every system."""
    path = stem.with_name(f"{stem.name}.csv")
    write_text(path, rows.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    return path
