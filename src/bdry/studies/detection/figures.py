"""Figures `detect_signs`, `detect_roc` and `detect_recovery` (fawzi2017): curvature as a detector, beside baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...core.statistics import auroc
from ...figures.curves import LEVEL, Legend, Panel, add_legend, grid, same_scale, share_panel
from ...figures.drawing import Drawing, each
from ...figures.networks import last_rows
from ...figures.points import EXPERIMENT
from ...figures.style import COLOURS, RC
from ...figures.traces import line
from ...runs import RunRecord
from ..curvature.figures import FAMILIES

MEASURED = "runs measured by bdry detect run=<run>, or with probe=[detect]"
BY = ["dataset", "arch", "network"]
LOGIT_GAP, RUNNER_UP = "logit gap (baseline)", "runner-up (baseline)"
STATISTICS = {"image": "curvature at the image", **{name: f"boundary: {words}" for name, words in FAMILIES.items()}}
# false-positive rates at which the mean of several seeds' curves is taken
RATES = np.linspace(0, 1, 101)
BINS = 25
SCORE_COLUMNS = [
    *[*EXPERIMENT, "network", "seed", "statistic", "family", "is_perturbed", "alpha", "index"],
    *["score", "logit_gap", "predicted", "success"],
]
SIGNS_WHAT = (
    "Mean curvature of the boundary as seen from natural images and from their DeepFool perturbations, at boundary "
    "points of four families, of all seeds; F = f_own - f_other: positive bends away from the image; 90 % of the "
    "values. A panel's title has the shares with the sign that the paper claims: natural positive, perturbed negative."
)
ROC_WHAT = (
    "Perturbed images flagged against natural ones flagged, for DeepFool's perturbation times alpha: curvature at the "
    "image, curvature of the boundary at its points of four families, and the logit gap, which needs no curvature. "
    "Mean over seeds."
)
RECOVERY_WHAT = (
    "Share of perturbed images whose natural class is recovered, by alpha; the runner-up, the class of the second "
    "largest logit, is the baseline that has to be beaten. Bars: mean over seeds; whiskers: smallest to largest seed, "
    "of a single seed the bootstrap interval over images."
)


def signs_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `detect_signs` draws: a row a family, bin of curvature and kind of image, with the share in it.

    claimed: of all images of the kind, the share with the sign that the paper claims.
    """
    rows = _scores(records)
    rows = rows[(rows["statistic"] == "boundary_curvature") & rows["success"].astype(bool)]
    smallest = rows.loc[rows["alpha"] > 0, "alpha"].min()
    rows = rows[rows["alpha"].isin([0.0, smallest])].assign(value=-rows["score"])
    if rows.empty:
        return pd.DataFrame(columns=BY)
    parts = []
    # families are compared, hence the same bins
    ends = rows["value"].abs().groupby([rows[name] for name in (*EXPERIMENT, "network")]).transform("quantile", 0.9)
    for keys, part in rows.assign(end=ends).groupby([*EXPERIMENT, "network", "family"], sort=True):
        end = part["end"].iloc[0] or 1.0
        edges = np.linspace(-end, end, BINS + 1)
        for is_perturbed, kind in part.groupby("is_perturbed"):
            counts, _ = np.histogram(kind["value"], edges)
            claimed = (kind["value"] < 0) if is_perturbed else (kind["value"] > 0)
            about = dict(zip([*EXPERIMENT, "network", "family"], keys, strict=True))
            about |= {"num_images": kind["index"].nunique(), "num_seeds": kind["seed"].nunique()}
            about |= {"is_perturbed": bool(is_perturbed), "alpha": kind["alpha"].iloc[0], "claimed": claimed.mean()}
            share = counts / len(kind)
            parts.append(pd.DataFrame({**about, "low": edges[:-1], "high": edges[1:], "share": share}))
    return pd.concat(parts, ignore_index=True)


def roc_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `detect_roc` draws: a row an alpha, series and false-positive rate; the most directions measured.

    auc: of the curve, mean over seeds. The logit gap is that of the images of the first series.
    """
    rows = _scores(records)
    curves = []
    for keys, part in rows.groupby([*EXPERIMENT, "network", "seed"], sort=True):
        about = dict(zip([*EXPERIMENT, "network", "seed"], keys, strict=True))
        for number, family in enumerate(_families(part)):
            of_family = part[part["family"] == family]
            for alpha, pairs in _pairs(of_family):
                own = about | {"series": STATISTICS[family], "alpha": alpha, "num_images": len(pairs)}
                curves.append(_curve(own, pairs["score"], pairs["score_perturbed"]))
                if number == 0:
                    curves.append(
                        _curve(own | {"series": LOGIT_GAP}, -pairs["logit_gap"], -pairs["logit_gap_perturbed"])
                    )
    if not curves:
        return pd.DataFrame(columns=BY)
    keys = [*EXPERIMENT, "network", "alpha", "series"]
    grouped = pd.concat(curves, ignore_index=True).groupby([*keys, "false_positive"], sort=True)
    return grouped.agg(
        true_positive=("true_positive", "mean"),
        auc=("auc", "mean"),
        num_seeds=("seed", "nunique"),
        num_images=("num_images", "min"),
    ).reset_index()


def _families(rows: pd.DataFrame) -> list[str]:
    """Those that there are, the image itself first."""
    return [name for name in STATISTICS if (rows["family"] == name).any()]


def _pairs(rows: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame]]:
    """For each alpha the natural images joined to their perturbed versions, where both count; two pairs at least."""
    natural = rows[rows["alpha"] == 0]
    for alpha, perturbed in rows[rows["alpha"] > 0].groupby("alpha"):
        pairs = natural.merge(perturbed, on="index", suffixes=("", "_perturbed"))
        pairs = pairs[pairs["success"] & pairs["success_perturbed"]]
        pairs = pairs[pairs["predicted"] != pairs["predicted_perturbed"]]
        if len(pairs) > 1:
            yield float(alpha), pairs


def _curve(about: dict[str, object], natural: pd.Series, perturbed: pd.Series) -> pd.DataFrame:
    """The ROC curve at RATES, and its area by ranks."""
    values = np.unique(np.concatenate([natural, perturbed]))[::-1]
    # at each threshold what is not below it is flagged
    false_positive = np.concatenate([[0], 1 - np.searchsorted(np.sort(natural), values) / len(natural)])
    true_positive = np.concatenate([[0], 1 - np.searchsorted(np.sort(perturbed), values) / len(perturbed)])
    last = np.searchsorted(false_positive, RATES, side="right") - 1
    area = float(auroc(perturbed.to_numpy(), natural.to_numpy()))
    return pd.DataFrame({**about, "auc": area, "false_positive": RATES, "true_positive": true_positive[last]})


def recovery_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `detect_recovery` draws: a row an alpha and series, columns value, low and high."""
    rows = _most_directions(last_rows(records, "detect_summary"))
    if rows.empty:
        return pd.DataFrame(columns=BY)
    rows = rows.assign(network=rows["series"])
    parts = []
    for column, part in (("recovery_rate", rows), ("runner_up_rate", rows[rows["family"] == _families(rows)[0]])):
        names = part["family"].map(STATISTICS) if column == "recovery_rate" else RUNNER_UP
        columns = {column: "value", f"{column}_low": "low", f"{column}_high": "high"}
        parts.append(part.drop(columns="series").rename(columns=columns).assign(series=names))
    points = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    keys = [*EXPERIMENT, "network", "alpha", "series"]
    several = points.groupby(keys)["seed"].transform("nunique") > 1
    for end in ("low", "high"):
        points[end] = points["value"].where(several, points[end])
    return (
        points.groupby(keys, sort=True)
        .agg(
            value=("value", "mean"),
            low=("low", "min"),
            high=("high", "max"),
            flat_rate=("flat_rate", "mean"),
            num_seeds=("seed", "nunique"),
            num_images=("num_images", "min"),
        )
        .reset_index()
    )


def _scores(records: Sequence[RunRecord]) -> pd.DataFrame:
    rows = _most_directions(last_rows(records, "detect_scores"))
    return rows.assign(network=rows["series"]) if len(rows) else pd.DataFrame(columns=SCORE_COLUMNS)


def _most_directions(rows: pd.DataFrame) -> pd.DataFrame:
    if rows.empty:
        return rows
    return rows[rows["num_directions"] == rows.groupby(["experiment", "seed"])["num_directions"].transform("max")]


def _flat(records: Sequence[RunRecord], drawn: pd.DataFrame) -> str:
    flat = (drawn["flat_rate"] == 1).all()
    if not flat:
        return ""
    return "Every second derivative of this network is 0: the statistics are 0 everywhere and tell nothing."


def _signs_figure(drawn: pd.DataFrame, title: str) -> Figure:
    names = [name for name in FAMILIES if (drawn["family"] == name).any()]
    layout: list[list[Panel | None]] = [[Panel(name, "share of images", FAMILIES[name]) for name in names]]
    layout = [layout[0][:2], layout[0][2:]] if len(names) > 2 else layout
    kinds = {False: ("natural", COLOURS[0]), True: ("perturbed", COLOURS[1])}
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            part = drawn[drawn["family"] == panel.name]
            claimed = []
            for is_perturbed, (word, colour) in kinds.items():
                bars = part[part["is_perturbed"] == is_perturbed]
                if len(bars):
                    place.stairs(
                        bars["share"], [*bars["low"], bars["high"].iloc[-1]], fill=True, color=colour, alpha=0.45
                    )
                    claimed.append(f"{word} {'<' if is_perturbed else '>'} 0: {bars['claimed'].iloc[0]:.0%}")
            place.axvline(0, color="#555555", linewidth=0.8)
            place.set_title(f"{panel.title}\n{', '.join(claimed)}", fontsize=8.5)
            place.set_xlabel("mean curvature (1 / pixel units)")
        same_scale([place for place, _ in axes])
        handles = [Patch(color=colour, alpha=0.45) for _, colour in kinds.values()]
        figure.legend(handles, [word for word, _ in kinds.values()], loc="outside lower center", ncols=2)
    return figure


def _roc_figure(drawn: pd.DataFrame, title: str) -> Figure:
    alphas = sorted(drawn["alpha"].unique())
    layout = [[share_panel(f"{alpha:g}", "perturbed images flagged", f"alpha = {alpha:g}") for alpha in alphas]]
    legend = Legend([name for name in (*STATISTICS.values(), LOGIT_GAP) if (drawn["series"] == name).any()])
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            place.plot([0, 1], [0, 1], **LEVEL)
            for name, curve in drawn[drawn["alpha"] == float(panel.name)].groupby("series"):
                style = {**legend.style(str(name)), "marker": ""}
                if name == LOGIT_GAP:
                    style |= {"color": "#000000", "linestyle": (0, (4, 1.5))}
                line(place, str(name), curve["false_positive"], curve["true_positive"], **style)
            place.set_ylim(-0.02, 1.02)
            place.set_xlabel("natural images flagged")
        add_legend(figure, legend, {"by chance": LEVEL})
        for handle, text in zip(figure.legends[0].get_lines(), figure.legends[0].get_texts(), strict=True):
            if text.get_text() == LOGIT_GAP:
                handle.set(color="#000000", linestyle=(0, (4, 1.5)))
            handle.set_marker("")
    return figure


def _recovery_figure(drawn: pd.DataFrame, title: str) -> Figure:
    names = [name for name in (*STATISTICS.values(), RUNNER_UP) if (drawn["series"] == name).any()]
    alphas = sorted(drawn["alpha"].unique())
    width = 0.84 / len(names)
    colours = {name: COLOURS[number] for number, name in enumerate(names)} | {RUNNER_UP: "#000000"}
    with matplotlib.rc_context(RC):
        figure, axes = grid([[share_panel("", "natural class recovered")]], title)
        for place, _ in axes:
            for number, name in enumerate(names):
                bars = drawn[drawn["series"] == name].set_index("alpha").reindex(alphas)
                at = np.arange(len(alphas)) + (number + 0.5) * width - 0.42
                place.bar(at, bars["value"], width * 0.9, color=colours[name])
                place.vlines(at, bars["low"], bars["high"], color="#777777", linewidth=1)
            place.set_xticks(range(len(alphas)), [f"alpha = {alpha:g}" for alpha in alphas])
            place.set_axisbelow(True)
            place.grid(axis="x", visible=False)
            place.set_ylim(0, 1.02)
        handles = [Patch(color=colours[name]) for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


FIGURES = (
    Drawing(
        "detect_signs", MEASURED, ("detect_scores",), each(signs_data, _signs_figure, SIGNS_WHAT, by=BY, bands=False)
    ),
    Drawing("detect_roc", MEASURED, ("detect_scores",), each(roc_data, _roc_figure, ROC_WHAT, by=BY, bands=False)),
    Drawing(
        "detect_recovery",
        MEASURED,
        ("detect_summary",),
        each(recovery_data, _recovery_figure, RECOVERY_WHAT, by=BY, bands=False, notes=_flat),
    ),
)
