"""Figure `strips`: images, what the autoencoders make of them, and the borderline instances between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import RC
from .looks import Look, arrow, closest_looks, detailed_pairs, keep

MOST_IMAGES = 4
# heading, method, which picture of it
COLUMNS = (
    ("x", "", "image"),
    ("AE1(x)", "deepdig", "on_target"),
    ("AE2(AE1(x))", "deepdig", "on_source"),
    ("DeepDIG", "deepdig", "point"),
    ("image, AE1", "real_ae1", "point"),
    ("margin\nestimator", "margin_bisect", "point"),
    ("EPBS", "epbs", "point"),
    ("RPBS", "rpbs", "point"),
)
WHAT = (
    "Training images for which most methods succeed, DeepDIG's two autoencoder outputs, and the borderline instance of "
    "each method with p_s, p_t and its l2 distance d to the image (pixel units of [0, 1]). A cross: no borderline "
    "instance. One seed."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture, of one seed's first directions."""
    paths = []
    for look in closest_looks(records):
        drawn = drawn_data(look)
        if len(drawn):
            paths += keep("strips", look.title, _figure(drawn, look), drawn, records, folder, WHAT)
    return paths


def drawn_data(look: Look) -> pd.DataFrame:
    """What is printed below the pictures: a row a direction, image and method; nan where there is no segment."""
    found, rows = look.pictures, []
    for s, t in detailed_pairs(look):
        for image in range(min(MOST_IMAGES, len(found[f"strips {s}-{t} image"]))):
            for _, method, what in COLUMNS:
                if what != "point" or f"strips {s}-{t} {method} rows" not in found:
                    continue
                place = _place(found, f"{s}-{t}", method, image)
                row = {"p_source": np.nan, "p_target": np.nan, "distance": np.nan, "success": False}
                if place is not None:
                    p, d, ok = (
                        found[f"strips {s}-{t} {method} {name}"][place] for name in ("p", "distance", "success")
                    )
                    row = {"p_source": p[0], "p_target": p[1], "distance": d, "success": bool(ok)}
                rows.append({"source": s, "target": t, "image": image, "method": method, **row})
    return pd.DataFrame(rows).assign(**look.record.identity) if rows else pd.DataFrame()


def _place(found: dict[str, np.ndarray], name: str, method: str, image: int) -> int | None:
    """Where the arrays of a method have the n-th image shown."""
    places = np.flatnonzero(found[f"strips {name} {method} rows"] == image)
    return int(places[0]) if len(places) else None


def _figure(drawn: pd.DataFrame, look: Look) -> Figure:
    found = look.pictures
    shown = drawn[["source", "target", "image"]].drop_duplicates()
    methods = set(drawn["method"])
    columns = [column for column in COLUMNS if not column[1] or column[1] in methods]
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = Figure(figsize=(1.05 * len(columns) + 0.5, 1.32 * len(shown) + 0.9), layout="constrained")
        axes = figure.subplots(len(shown), len(columns), squeeze=False)
        for row, (places, (s, t, image)) in enumerate(zip(axes, shown.itertuples(index=False), strict=True)):
            places[0].set_ylabel(arrow(s, t))
            for place, (heading, method, what) in zip(places, columns, strict=True):
                if row == 0:
                    place.set_title(heading, fontsize=8)
                _picture(place, found, f"{s}-{t}", method, what, image)
        figure.suptitle(f"strips: {look.title}", fontsize=10.5)
    return figure


def _picture(axis: Axes, found: dict[str, np.ndarray], name: str, method: str, what: str, image: int) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    place = image if not method else _place(found, name, method, image)
    if place is None:
        axis.annotate("×", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=16)
        return
    key = f"strips {name} {method} {what}" if method else f"strips {name} {what}"
    pixels = found[key][place].transpose(1, 2, 0)
    axis.imshow(pixels.clip(0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    if what != "point":
        return
    p, distance = found[f"strips {name} {method} p"][place], found[f"strips {name} {method} distance"][place]
    success = bool(found[f"strips {name} {method} success"][place])
    text = f"{p[0]:.2f}, {p[1]:.2f}\nd {distance:.2f}" if success else "× third class"
    axis.set_xlabel(text, fontsize=6.5, labelpad=2)
