"""What can be told of the page's curves, effects and layout from its HTML alone; tests/browser looks at it drawn."""

from __future__ import annotations

import hashlib
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from bdry.claims import CLAIMS, Evidence, judge
from bdry.cli import main
from bdry.figures.curves import Legend, Panel, plot
from bdry.figures.traces import charts
from bdry.html import Explorer, Paper, page, panels
from bdry.html.effects import EDGE, WIDTH, effect_lines
from bdry.html.overview import experiments
from bdry.html.page import UPLOT
from bdry.runs import TABLES
from bdry.selection.overview import inventory
from bdry.session.console import Steps
from bdry.studies.figures import draw_figures


@pytest.fixture(scope="module")
def found(tmp_path_factory, write_run, made, records):
    """Two seeds of standard and of adversarial training, of which margins alone were measured."""
    folder = tmp_path_factory.mktemp("study")
    draw = np.random.default_rng(0)
    moments = [(0, 0.0), (10, 0.5), (20, 1.0), (200, 10.0)]
    for training, seed in itertools.product(("standard", "pgd linf"), (0, 1)):
        parts = []
        for split, norm in itertools.product(("train", "test"), ("l2", "linf")):
            parts.append(made["margins"](moments, draw.gamma(3, size=(4, 20)), np.ones((4, 20)), 0.5, split, norm))
        tables = made["measured"](made["history"](moments, 0.9), *parts)
        write_run(folder, tables, dataset="mnist", training=training, seed=seed)
    return records(folder)


@pytest.fixture(scope="module")
def drawn(found):
    return {panel.name: panel for panel in panels("mickisch2020", found)}


def test_reading_and_judging_tell_how_far_they_are(found):
    tables, claims = [], []
    evidence = Evidence.of(found, say=lambda *step: tables.append(step))
    judge("mickisch2020", evidence, lambda *step: claims.append(step))
    assert tables == [(number, len(TABLES), name) for number, name in enumerate(TABLES)]
    names = CLAIMS["mickisch2020"]
    assert claims == [(number, len(names), name) for number, name in enumerate(names)]


@pytest.mark.parametrize(("number", "cell"), [(4, "0, 1"), (1, "seed 0")])
def test_a_single_seed_is_no_number_of_seeds(found, number, cell):
    shown = experiments(inventory(found[:number]))
    at = [heading for heading, _ in shown.headings].index("seeds")
    assert shown.rows[0][at].text == cell


@pytest.mark.parametrize(
    "command", [["report", "papers=[karimi2020]", "num_images=0"], ["figures", "paper=karimi2020"]]
)
def test_the_commands_say_what_they_are_at(command, found, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Steps, "every_s", 0.0)
    assert main([*command, f"runs={found[0].run.path}", f"outputs={tmp_path}"]) == 0
    said = capsys.readouterr().err
    for line in ("table 1 of", "claim 1 of", "figure 1 of"):
        assert line in said


def test_the_curves_of_the_page_are_those_of_the_figures_data(found, drawn, tmp_path):
    draw_figures("mickisch2020", "margin_evolution", found, tmp_path)
    data = pd.read_csv(tmp_path / "margin_evolution-mnist-mlp.csv")
    shown = drawn["margin_evolution-mnist-mlp"].charts
    assert [chart["y"] for chart in shown][:2] == [
        f"mean {norm} margin (pixel units of [0, 1])" for norm in ("ℓ2", "ℓ∞")
    ]
    for chart, panel in zip(shown[:2], ("l2", "linf"), strict=True):
        assert chart["x"] == "epoch"
        assert (chart["x_scale"], chart["y_scale"]) == ("arcsinh", "linear")
        of_it = data[data["panel"] == panel]
        names = {f"{series}, {split}" for series, split in of_it[["series", "split"]].drop_duplicates().to_numpy()}
        curves = {curve["name"]: curve for curve in chart["curves"]}
        assert {name.replace("linf", "ℓ∞").replace("l2", "ℓ2") for name in names} <= set(curves)
        for (series, split), rows in of_it.sort_values("epoch").groupby(["series", "split"]):
            curve = curves[f"{series}, {split}".replace("linf", "ℓ∞").replace("l2", "ℓ2")]
            np.testing.assert_allclose(curve["x"], rows["epoch"], rtol=1e-4)
            for column in ("value", "low", "high"):
                np.testing.assert_allclose(curve[column], rows[column], rtol=1e-4)


def test_curves_keep_their_order_their_dashes_and_what_is_missing(tmp_path):
    import matplotlib.figure

    axis = matplotlib.figure.Figure().subplots()
    rows = pd.DataFrame({"epoch": [2.0, 1.0], "value": [np.nan, 3.0], "low": np.nan, "high": np.nan})
    rows = rows.assign(series="pgd linf", split="train", lower_bound=np.nan, adv_eps=0.1)
    plot(axis, rows, Legend(["standard", "pgd linf"], "split", {"test": 0, "train": 1}), Panel("x", "y", log=True))
    (chart,) = charts(axis.figure)
    curve, level = chart["curves"]
    assert (curve["name"], curve["x"], curve["value"], curve["low"]) == ("pgd ℓ∞, train", [1.0, 2.0], [3.0, None], None)
    assert (curve["colour"], curve["dash"]) == (1, [6.4, 2.4])
    assert (level["name"], level["value"]) == ("eps of pgd ℓ∞", [0.1, 0.1])
    assert charts(matplotlib.figure.Figure()) == []


def verdicts(**columns):
    """Rows of one claim's verdicts, about 0 on the scale of differences."""
    about = {"claim": "C1", "scale": "difference", "statistic": "s", "secondary": False, "side": "above", "bound": 0.0}
    return pd.DataFrame({"part_verdict": "supported", "low": np.nan, "high": np.nan, **columns}).assign(**about)


def test_a_line_of_the_forest_plot_is_where_its_numbers_say():
    rows = verdicts(value=[1.0, -1.0, 3.0, 2.0], low=[0.5, np.nan, -9.0, 1.5], high=[1.5, np.nan, 9.0, 2.5])
    lines = [str(line) for line in effect_lines(rows)]
    # the axis runs from -1 - 0.06 * 4 to 3 + 0.06 * 4: the interval that is much wider than most runs out of it
    place = [EDGE + (WIDTH - 2 * EDGE) * (value + 1.24) / 4.48 for value in (0, 1, -1)]
    assert f'class="bound" d="M{place[0]:.1f} ' in lines[0]
    assert f'cx="{place[1]:.1f}"' in lines[0]
    assert f'cx="{place[2]:.1f}"' in lines[1]
    assert [line.count("<text") for line in lines] == [3, 0, 0, 0]
    assert ["hollow" in line for line in lines] == [False, True, False, False]
    assert 'class="interval"' not in lines[1]
    # an interval that runs out of the axis ends just past it
    assert re.search(r'class="interval" d="M1\.9 [\d.]+H218\.1"', lines[2])
    assert "1 [0.5, 1.5]; claimed: above 0" in lines[0]


def test_rows_without_a_value_have_no_line_and_another_claim_has_its_own_axis():
    rows = pd.concat([verdicts(value=[np.nan, 1.0]), verdicts(value=[10.0]).assign(claim="C2")])
    lines = effect_lines(rows)
    assert lines[0] == Markup()
    # of the ends' numbers the one that is far from the bound's
    assert [re.findall(r"<text[^>]*>([^<]*)", line) for line in lines[1:]] == [["0", "1.06"], ["0", "10.6"]]


def test_ratios_have_a_logarithmic_axis():
    rows = verdicts(value=[4.0, 1.0]).assign(scale="ratio", bound=2.0)
    first, _ = (str(line) for line in effect_lines(rows))
    assert f'class="bound" d="M{WIDTH / 2:.1f} ' in first
    assert math.isclose(
        float(re.search(r'cx="([\d.]+)"', first)[1]), EDGE + (WIDTH - 2 * EDGE) * 1.06 / 1.12, abs_tol=0.1
    )


def test_cells_of_wide_tables_bring_their_headings_for_narrow_windows(found, drawn):
    judged = judge("mickisch2020", Evidence.of(found))
    text = page(found, [], [Paper("mickisch2020", judged, list(drawn.values()))], Explorer(), [], num_drawn=len(found))
    tables = re.findall(r'<table class="cards[^>]*>.*?</table>', text, re.S)
    assert len(tables) >= 3
    for table in tables:
        assert "<th" in table.partition("<tbody")[0]
        for cell in re.findall(r"<td[^>]*>", table):
            assert "data-label=" in cell or 'class="line"' in cell
    assert text.count('<svg class="effect') == judged["value"].notna().sum() > 0
    # what the page brings beside its pictures
    bare = re.sub(r'src="data:image/png;base64,[^"]*"', "", text)
    assert len(bare) < 1_000_000
    # without scripts every figure is its picture
    assert text.count('class="box paper"') == sum(bool(panel.image) for panel in drawn.values())


def test_the_library_is_the_one_that_its_readme_names():
    said = (UPLOT / "README.md").read_text(encoding="utf-8")
    sums = dict(reversed(line.split()) for line in re.findall(r"^    ([0-9a-f]{64}  \S+)$", said, re.M))
    assert set(sums) == {path.name for path in UPLOT.iterdir()} - {"README.md"}
    for name, digest in sums.items():
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == digest, name
    version = re.search(r"- version: (\S+)", said)[1]
    assert f"(v{version})" in (UPLOT / "uPlot.iife.min.js").read_text()[:80]
    assert "MIT" in (UPLOT / "LICENSE").read_text()


def test_a_page_carries_the_librarys_licence(found):
    text = page(found, [], [], Explorer(), [], num_drawn=0)
    assert (UPLOT / "LICENSE").read_text(encoding="utf-8") in text
