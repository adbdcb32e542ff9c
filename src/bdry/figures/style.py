"""How figures look: legible in print, colour-blind-safe (Okabe and Ito's palette), the same bytes every time."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from ..runs.files import replacing, write_text

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

NORM_LABELS = {"l2": r"$\ell_2$", "linf": r"$\ell_\infty$"}


def shown(text: str) -> str:
    """`text` as figures write it: norms as symbols."""
    for norm, label in sorted(NORM_LABELS.items(), key=lambda item: -len(item[0])):
        text = text.replace(norm, label)
    return text


def plain_text(text: str) -> str:
    """`text` of a figure without mathematics and line breaks."""
    return " ".join(text.replace(r"$\ell_2$", "ℓ2").replace(r"$\ell_\infty$", "ℓ∞").split())


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


# what a caption's file is called after its picture's name
CAPTION = ".caption.md"
# of a PNG: on a screen hardly told from more, and publications are read from repositories
PALETTE = 64
# of each format: what would make the same figure other bytes
METADATA: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
# letters of a title for each inch of width, at 10.5 points
LETTERS_AN_INCH = 12.5


@dataclass(frozen=True)
class Style:
    """How figures are saved, where that is not as they were designed.

    Args:
        width: of every figure, inches; None: as designed.
        height: inches; None: as the width asks for.
        font: family of all letters; None: matplotlib's.
        size: of axis labels, points; other letters are larger or smaller with them.
        formats: of `png`, `pdf` and `svg`.
        dpi: of a PNG and of pictures inside the others.
        titles: whether figures have one; a paper's caption says it.
    """

    width: float | None = None
    height: float | None = None
    font: str | None = None
    size: float = RC["font.size"]
    formats: tuple[str, ...] = ("png", "pdf")
    dpi: int = RC["figure.dpi"]
    titles: bool = True


_STYLE: ContextVar[Style] = ContextVar("style")
_WATCHER: ContextVar[Callable[[str, Figure], None]] = ContextVar("watcher")


def known_font(name: str) -> bool:
    """Whether a family of fonts is installed here, or one of matplotlib's general ones."""
    from matplotlib.font_manager import fontManager

    return name in ("serif", "sans-serif", "monospace") or name in fontManager.get_font_names()


@contextmanager
def styled(style: Style) -> Iterator[None]:
    """Figures that are drawn inside are saved in this style.

    Args:
        style: width, letters, formats.
    """
    kept, token = dict(RC), _STYLE.set(style)
    RC.update({"figure.dpi": style.dpi, "svg.hashsalt": "bdry"})
    if style.font is not None:
        RC.update({"font.family": [style.font], "mathtext.fontset": "stix"})
    try:
        yield
    finally:
        RC.clear()
        RC.update(kept)
        _STYLE.reset(token)


@contextmanager
def watched(watcher: Callable[[str, Figure], None]) -> Iterator[None]:
    """`watcher` is told of each figure that is saved inside, with its name."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def most_columns(labels: Iterable[str]) -> int:
    """How many of these labels stand beside each other in a legend, at the width and size of letters asked for."""
    style = _STYLE.get(Style())
    if style.width is None:
        return 100
    em = RC["legend.fontsize"] / 72 * style.size / Style.size
    # the line, the space after it and the space to the next; mathematics is shorter than its source
    widest = max(len(label) if "$" not in label else len(label) - 6 for label in labels)
    return max(1, int(style.width / (em * (6.0 + 0.62 * widest))))


def save(figure: Figure, drawn: pd.DataFrame, stem: Path, caption: str = "") -> list[Path]:
    """Writes the picture, `<stem>.png` and `<stem>.pdf` by default, `<stem>.csv`, and `<stem>.caption.md`.

    A PNG has a palette of `PALETTE` colours: a quarter of the size.

    Args:
        figure: matplotlib's, any.
        drawn: what the CSV holds: exactly what is drawn.
        stem: the files' path without an ending.
        caption: Markdown; without one there is no file of it.
    """
    style = _STYLE.get(Style())
    _WATCHER.get(lambda name, figure: None)(stem.name, figure)
    paths = []
    with matplotlib.rc_context(RC):
        _fit(figure, style)
        for ending in style.formats:
            paths.append(stem.with_name(f"{stem.name}.{ending}"))
            # a width that is asked for is kept to: nothing is cut off it
            box = "tight" if style.width is None else None
            with replacing(paths[-1]) as temporary:
                if ending == "png":
                    in_palette(figure, box, style.dpi).save(temporary, "PNG", optimize=True)
                else:
                    figure.savefig(temporary, format=ending, metadata=METADATA[ending], bbox_inches=box, dpi=style.dpi)
            # the other files show the same arrangement, and save the time to find it again
            figure.set_layout_engine("none")
    paths.append(write_csv(drawn, stem))
    if caption:
        paths.append(stem.with_name(f"{stem.name}{CAPTION}"))
        write_text(paths[-1], caption)
    return paths


def in_palette(figure: Figure, box: str | None, dpi: int) -> Image.Image:
    """The figure in `PALETTE` colours at most, without dithering."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches=box, dpi=dpi, pil_kwargs={"compress_level": 0})
    with Image.open(drawn) as picture:
        # a median cut would give another colour to what covers little, as the end of a colour bar
        return picture.convert("RGB").quantize(PALETTE, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)


def _fit(figure: Figure, style: Style) -> None:
    """Brings a figure to the style's size and letters, and breaks a title that is wider than the figure."""
    width, height = figure.get_size_inches()
    if style.width is not None or style.height is not None:
        wide = style.width or width
        # letters do not shrink with a narrow figure, hence its height shrinks less than its width
        high = style.height or height * max(wide / width, 0.75)
        figure.set_size_inches(wide, high)
    if style.size != Style.size or style.font is not None:
        figure.draw_without_rendering()
        for text in figure.findobj(Text):
            text.set_fontsize(float(text.get_fontsize()) * style.size / Style.size)
            if style.font is not None:
                text.set_fontfamily(style.font)
    title = figure.get_suptitle()
    for text in figure.texts:
        if title and text.get_text() == title:
            letters = LETTERS_AN_INCH * figure.get_size_inches()[0] * Style.size / style.size
            text.set_text("\n".join(_balanced(title, int(letters))) if style.titles else "")


def _balanced(text: str, most: int) -> list[str]:
    """`text` in as few lines of at most `most` letters as it takes, none much shorter than the others."""
    number = len(textwrap.wrap(text, most))
    narrow = next(letters for letters in range(1, most + 1) if len(textwrap.wrap(text, letters)) <= number)
    return textwrap.wrap(text, narrow)


def write_csv(rows: pd.DataFrame, stem: Path) -> Path:
    """Writes `<stem>.csv`: nine significant digits, the same bytes on every system."""
    path = stem.with_name(f"{stem.name}.csv")
    write_text(path, rows.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    return path


def write_table(rows: pd.DataFrame, stem: Path, *, markdown: bool = False) -> list[Path]:
    """Writes `<stem>.csv`, and with three significant digits `<stem>.tex`, for LaTeX's package booktabs.

    Args:
        rows: of the table.
        stem: the files' path without an ending.
        markdown: also `<stem>.md`.
    """
    words = rows.copy()
    for column in words.columns:
        if pd.api.types.is_float_dtype(words[column]):
            words[column] = ["--" if pd.isna(value) else f"{value:.3g}" for value in words[column]]
    words.columns = [str(column).replace("_", " ") for column in words.columns]
    paths = {"tex": words.style.hide(axis="index").format(escape="latex").to_latex(hrules=True)}
    if markdown:
        cells = [words.columns, ["---"] * len(words.columns), *words.astype(str).to_numpy().tolist()]
        paths["md"] = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    for ending, text in paths.items():
        write_text(stem.with_name(f"{stem.name}.{ending}"), text)
    return [write_csv(rows, stem), *(stem.with_name(f"{stem.name}.{ending}") for ending in paths)]
