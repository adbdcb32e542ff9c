"""`bdry figures style.*`: sizes of columns, letters, formats; titles; names of files; tables for LaTeX."""

from __future__ import annotations

import struct

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bdry.cli import main
from bdry.conf import compose, typed
from bdry.errors import ConfigError
from bdry.figures.style import RC, Style, most_columns, save, styled, write_table
from bdry.figures.titles import TITLES, titled
from bdry.runs.differences import differing, labels, short_names
from bdry.settings.commands import WIDTHS
from bdry.studies.figures import FIGURES

DRAWN = pd.DataFrame({"x": [1, 2], "y": [0.5, 0.25]})


def figure(title="Margins over training: digits, mlp"):
    with matplotlib.rc_context(RC):
        drawn = Figure(figsize=(6.8, 3.0), layout="constrained")
        axis = drawn.subplots()
        axis.plot(DRAWN.x, DRAWN.y, label="a line")
        axis.set_xlabel("epoch")
        drawn.suptitle(title, fontsize=10.5)
    return drawn


def pixels(path):
    return struct.unpack(">II", path.read_bytes()[16:24])


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_a_column_has_its_width_to_the_dot(name, tmp_path):
    with styled(Style(width=WIDTHS[name], dpi=200, formats=("png", "pdf", "svg"))):
        paths = save(figure(), DRAWN, tmp_path / "f")
    assert [path.suffix for path in paths] == [".png", ".pdf", ".svg", ".csv"]
    assert abs(pixels(paths[0])[0] - 200 * WIDTHS[name]) <= 1
    media = paths[1].read_bytes().split(b"/MediaBox [ 0 0 ")[1].split()[0]
    assert float(media) == pytest.approx(72 * WIDTHS[name], abs=0.5)
    assert RC["figure.dpi"] == 150


def test_height_font_size_and_no_title(tmp_path):
    drawn = figure()
    with styled(Style(width=3.25, height=2.0, font="serif", size=7.0, titles=False, formats=("png",))):
        (path, _) = save(drawn, DRAWN, tmp_path / "f")
    assert pixels(path) == (487, 300)
    label = drawn.axes[0].xaxis.label
    assert label.get_fontsize() == pytest.approx(7.0)
    assert label.get_fontfamily() == ["serif"]
    assert drawn.get_suptitle() == ""


def test_the_same_style_gives_the_same_bytes_and_the_default_is_left(tmp_path):
    for style in (Style(), Style(width=5.5, formats=("png", "pdf", "svg"))):
        found = []
        for part in ("a", "b"):
            (tmp_path / part).mkdir(exist_ok=True)
            with styled(style):
                found.append([path.read_bytes() for path in save(figure(), DRAWN, tmp_path / part / "f")])
        assert found[0] == found[1]


def test_a_legend_fits_the_column_and_the_axes_stay():
    labels = {f"label number {n}": {} for n in range(6)}
    assert most_columns(labels) >= 5
    with styled(Style(width=3.25, size=8.0)):
        narrow = most_columns(labels)
    with styled(Style(width=6.75, size=8.0)):
        assert 1 <= narrow < most_columns(labels)


def test_a_long_title_is_broken_and_not_cut(tmp_path):
    drawn = figure("Share of perturbations in few directions: fashion_mnist, avgcnn, softplus, PGD linf, study main")
    with styled(Style(width=3.25)):
        save(drawn, DRAWN, tmp_path / "f")
    assert "\n" in drawn.get_suptitle()


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("style.width=icmll", "no inches and not one of icml, icml_wide, neurips, iclr, ieee, ieee_wide, did you mean"),
        ("style.width=true", "no inches"),
        ("style.width=100", "must be from 1 to 40 inches"),
        ("style.height=0", "must be more than 0.5"),
        ("style.format=[jpg]", "not one of png, pdf, svg"),
        ("style.format=[]", "must not be empty"),
        ("style.dpi=5", "must be at least 30"),
        ("style.size=1", "must be at least 4"),
    ],
)
def test_bad_styles_are_a_line(word, line):
    with pytest.raises(ConfigError) as caught:
        typed(compose("figures", [word]))
    assert line in str(caught.value)
    assert str(caught.value).startswith(word.partition("=")[0])


def test_every_figure_has_a_title_that_says_what_it_shows_and_the_help_lists_it(capsys):
    assert main(["figures", "--help"]) == 0
    # long ones go on in the next line
    out = " ".join(capsys.readouterr().out.split())
    for paper, figures in FIGURES.items():
        assert set(TITLES[paper]) == set(figures)
        for name, title in TITLES[paper].items():
            assert name in out
            assert title in out
            assert len(title) <= 70
            assert titled(name, "mnist, lenet") == f"{title}: mnist, lenet"


def config(study="", lr=0.1, **more):
    return {"study": study, "seed": 0, "optim": {"lr": lr}, "outputs": str(study), **more}


def test_files_are_named_by_what_differs_and_by_the_hash_only_where_nothing_short_does():
    assert short_names({"mnist-mlp-none-0123abcd": config()}) == {"mnist-mlp-none-0123abcd": "mnist-mlp-none"}
    four = {f"mnist-mlp-none-{n}": config(study) for n, study in enumerate(["", "narrow", "deep", "toy"])}
    assert list(short_names(four).values()) == [
        "mnist-mlp-none",
        "mnist-mlp-none-narrow",
        "mnist-mlp-none-deep",
        "mnist-mlp-none-toy",
    ]
    rates = {f"mnist-mlp-none-{n}": config(lr=lr, threads=n) for n, lr in enumerate([0.1, 0.2])}
    assert list(short_names(rates).values()) == ["mnist-mlp-none-lr=0.1", "mnist-mlp-none-lr=0.2"]
    same = {f"mnist-mlp-none-{n}": config() for n in range(2)}
    assert short_names(same) == {name: name for name in same}
    assert differing([config(), config(lr=0.3, device="cuda")]) == ["optim.lr"]


def test_legends_name_what_differs_where_two_would_be_called_the_same():
    configs = {"a-1": config(lr=0.1), "a-2": config(lr=0.2), "b-3": config(lr=0.1)}
    called = {"a-1": ["standard"], "a-2": ["standard"], "b-3": ["PGD linf"]}
    assert labels(called, configs) == {"a-1": ["lr=0.1"], "a-2": ["lr=0.2"], "b-3": []}
    # of another picture
    assert labels({"a-1": ["x", "standard"], "a-2": ["y", "standard"]}, configs) == {"a-1": [], "a-2": []}
    optimisers = {"a-1": config(optim={"name": "adam"}), "a-2": config(optim={"name": "sgd"})}
    assert labels({one: ["standard"] for one in optimisers}, optimisers) == {
        "a-1": ["optim=adam"],
        "a-2": ["optim=sgd"],
    }
    same = {"a-1": config(), "a-2": config()}
    assert labels({one: ["standard"] for one in same}, same) == {"a-1": None, "a-2": None}


def test_tables_for_latex_and_markdown(tmp_path):
    rows = pd.DataFrame({"experiment": ["a_b", "50% & more"], "l2_last": [0.123456, float("nan")], "num_seeds": [3, 1]})
    csv, tex, md = write_table(rows, tmp_path / "results", markdown=True)
    assert pd.read_csv(csv).l2_last[0] == 0.123456
    text = tex.read_text()
    assert r"\toprule" in text
    assert r"a\_b & 0.123 & 3 \\" in text
    assert r"50\% \& more & -- & 1 \\" in text
    assert md.read_text().splitlines() == [
        "| experiment | l2 last | num seeds |",
        "| --- | --- | --- |",
        "| a_b | 0.123 | 3 |",
        "| 50% & more | -- | 1 |",
    ]
