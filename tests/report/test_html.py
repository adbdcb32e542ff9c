"""The HTML page from made runs: what it says, that nothing in it leaves it, that no string of a run becomes markup."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bdry.claims import Evidence, judge
from bdry.commands import report
from bdry.errors import ConfigError
from bdry.html import Explorer, Paper, explore, origin, page, panels
from bdry.html.embedding import difference, picture
from bdry.html.figures import as_html
from bdry.runs import SCHEMA_VERSION, TABLES, Measurement
from bdry.selection.claim import COLUMNS
from bdry.settings import check
from bdry.settings.commands import ReportConfig

HOSTILE = "</script><img src=http://example.org/x onerror=alert(1)>"
MOMENTS = [(0, 0.0), (10, 1.0), (40, 4.0)]
SHAPE = (1, 5, 5)


class Pictures:
    """Stands for the data sets: an image is its index in grey; class names are hostile."""

    def image(self, record, split, index):
        return np.full(SHAPE, index, np.uint8) if split == "test" else None

    def class_names(self, record):
        return ["shirt", HOSTILE]


class Found(html.parser.HTMLParser):
    """Every tag with its attributes, and the texts inside scripts and styles, by their id, class or type."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside = [("", {})], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag in ("script", "style"):
            self.inside.setdefault(named.get("id", named.get("class", tag)), []).append("")

    def handle_data(self, data):
        tag, named = self.tags[-1]
        if tag in ("script", "style"):
            self.inside[named.get("id", named.get("class", tag))][-1] += data

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.tags.append(("/" + tag, {}))


def margin_table(made):
    value = np.array([[1.0, 2.0, np.nan, 4.0], [2.0, 3.0, 1.0, 4.0], [0.5, 1.5, 1.0, 4.0]])
    rows = made["margins"](MOMENTS, value, value > 0)
    return rows.assign(label=rows["index"] % 2)


@pytest.fixture
def run(tmp_path, write_run, made):
    """A finished run with margins of four images, on a data set and in a study whose names are hostile."""
    tables = made["measured"](made["history"](MOMENTS, 0.8), margin_table(made))
    return write_run(tmp_path, tables, study=f"a study {HOSTILE}", settings={"optim": {"name": HOSTILE, "lr": 0.1}})


def measured(run, settings, tables, arrays=None):
    """A finished measurement of the run's last moment."""
    folder = Measurement.of_run(run, "margin", settings)
    with folder.claimed():
        folder.write_config({"schema": SCHEMA_VERSION, **settings})
        for name, rows in tables.items():
            folder.writer(name).append(rows)
        for name, found in (arrays or {}).items():
            folder.write_arrays(name, 40, found)
        folder.set_status("finished")
    return folder


def checked_points(run):
    """Image 3 by two estimators, with the points that they found; the margins table says the same as the run's."""
    about = {"step": 40, "epoch": 4.0, "split": "test", "index": 3, "norm": "l2", "clipped": False}
    rows = pd.DataFrame({**about, "estimator": ["deepfool", "walk"], "margin": [4.0, 2.0], "best_known": 2.0})
    point = np.zeros((2, *SHAPE), np.float32)
    point[1, 0, 0, 0] = 0.5
    keep = {"split": ["test"] * 2, "index": [3, 3], "label": [1, 1], "norm": ["l2"] * 2, "clipped": [False] * 2}
    keep |= {"estimator": ["deepfool", "walk"], "boundary_class": [1, 0], "margin": [4.0, 2.0]}
    arrays = {name: np.array(column) for name, column in keep.items()}
    arrays |= {"image": np.zeros((2, *SHAPE), np.uint8), "point": point}
    return measured(
        run, {"towards": None}, {"estimator_check": rows.assign(ratio=rows["margin"] / 2)}, {"points": arrays}
    )


def generated(run):
    """Two instances that start from training image 7, and one whose image was not kept."""
    kinds = {column.name: 0 if column.kind != "str" else "ok" for column in TABLES["generation"].columns}
    columns = {
        "method": np.array(["rpbs", HOSTILE[:16], "epbs"]),
        "source": np.array([1, 1, 1]),
        "target": np.array([0, 0, 0]),
        "index": np.array([7, 7, 8]),
        "saved": np.array([True, True, False]),
        "attempts": np.array([5, 6, 7], np.int16),
        "p_source": np.full(3, 0.5, np.float32),
        "p_target": np.full(3, 0.5, np.float32),
        "distance": np.array([3.0, 2.0, 1.0], np.float32),
        "image": np.ones((2, *SHAPE), np.float32),
    }
    generation = pd.DataFrame([{**kinds, "step": 40, "epoch": 4.0}])
    return measured(run, {"pairs": "all"}, {"generation": generation}, {"borderline": columns})


def whole(found, skipped=()):
    start = {"code": {"commit": HOSTILE}, "packages": {"torch": HOSTILE}}
    origins = [origin(record, [(HOSTILE, start)]) for record in found]
    verdicts = judge("mickisch2020", Evidence.of(found))
    numbers = dict.fromkeys(("value", "low", "high", "bound", "band", "p_value", "p_holm", "detectable"), 1.0)
    words = {
        "verdict": "supported",
        "part_verdict": "supported",
        "whose": "ours",
        "primary": True,
        "secondary": False,
        "checks": False,
    }
    hostile = pd.DataFrame([{**dict.fromkeys(COLUMNS, HOSTILE), **numbers, **words}])
    papers = [Paper("mickisch2020", verdicts, panels("mickisch2020", found)), Paper("li2018", hostile)]
    return page(found, skipped, papers, explore(found, 3, Pictures()), origins, num_drawn=len(found))


def test_nothing_leaves_the_page_and_no_string_of_a_run_becomes_markup(run, tmp_path, records):
    checked_points(run)
    generated(run)
    text = whole(records(tmp_path), [HOSTILE])
    assert text == whole(records(tmp_path), [HOSTILE])
    found = Found(text)
    kinds = [attrs.get("type") for tag, attrs in found.tags if tag == "script"]
    assert kinds == ["application/json"] * (len(found.inside["curves"]) + 1) + [None, None]
    for tag, attrs in found.tags:
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")], tag
        assert attrs.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attrs.get("href", "#").startswith("#") or attrs["href"] == "data:,"
    assert HOSTILE not in text
    (policy,) = [attrs["content"] for _, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        digests = [hashlib.sha256(text.encode()).digest() for text in found.inside[kind]]
        allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
        assert f"{kind}-src {allowed}" in policy
    names = [attrs["alt"] for tag, attrs in found.tags if tag == "img"]
    assert names
    assert all(names)
    # as text it is all there
    shown = html.unescape(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert shown.count(HOSTILE) >= 8
    data = json.loads(found.inside["explorer-data"][0])
    assert data["runs"][0]["classes"] == ["shirt", HOSTILE]


def test_the_explorer_shows_the_tables_numbers_and_the_points_kept(run, tmp_path, records):
    checked_points(run)
    generated(run)
    found = explore(records(tmp_path), 3, Pictures())
    (shown,) = found.data["runs"]
    assert shown["moments"] == [(0, 0.0), (10, 1.0), (40, 4.0)]
    # image 3 has points, image 7 instances; of the others the first of each class
    assert [(image["split"], image["index"]) for image in shown["images"]] == [("test", 0), ("test", 3), ("train", 7)]
    first, third, seventh = shown["images"]
    curve = {"norm": "l2", "clipped": False, "estimator": "deepfool"}
    assert first["series"] == [{**curve, "margin": [1.0, 2.0, 0.5], "boundary_class": [1.0] * 3}]
    assert first["nearest"][0]["margin"] == 0.5
    assert "point" not in first["nearest"][0]
    deepfool, walk = third["nearest"]
    assert (deepfool["margin"], deepfool["ratio"], walk["margin"], walk["ratio"]) == (4.0, 2.0, 2.0, 1.0)
    assert (deepfool["boundary_class"], walk["boundary_class"]) == (1, 0)
    assert pixels(walk["point"])[0, 0] == 128
    assert pixels(walk["difference"])[0].tolist() == [255, 128, 128, 128, 128]
    assert [one["distance"] for one in seventh["instances"]] == [2.0, 3.0]
    assert seventh["picture"] == ""
    assert "difference" not in seventh["instances"][0]
    assert pixels(found.data["pictures"][third["picture"]]).tolist() == [[3] * 5] * 5
    assert any(note.startswith("2 further images of these runs are left out") for note in found.notes)


def test_margins_that_were_not_found_are_null_and_points_that_were_not_kept_are_named(run, tmp_path, records):
    found = explore(records(tmp_path), 4, Pictures())
    images = found.data["runs"][0]["images"]
    assert images[2]["series"][0]["margin"] == [None, 1.0, 1.0]
    assert any("No run keeps boundary points" in note for note in found.notes)
    json.dumps(found.data, allow_nan=False)


def test_distances_towards_a_class_are_no_margins(run, tmp_path, records, made):
    elsewhere = margin_table(made).assign(norm="linf")
    measured(run, {"towards": 1}, {"margins": elsewhere})
    images = explore(records(tmp_path), 4, Pictures()).data["runs"][0]["images"]
    assert {series["norm"] for image in images for series in image["series"]} == {"l2"}


def test_arrays_that_do_not_fit_are_named_and_left_out(run, tmp_path, records):
    folder = checked_points(run)
    kept = folder.read_arrays("points", 40)
    for wrong in ({**kept, "index": kept["index"][:1]}, {**kept, "point": kept["point"][0]}, {"split": kept["split"]}):
        np.savez(folder.arrays_path("points", 40), **wrong)
        found = explore(records(tmp_path), 4, Pictures())
        assert "point" not in found.data["runs"][0]["images"][3]["nearest"][0]
        assert [note for note in found.notes if "points-step=00000040.npz: " in note]


def test_runs_without_single_images_say_so(tmp_path, write_run, made, records):
    write_run(tmp_path, {"history": made["history"](MOMENTS, 0.8)})
    found = records(tmp_path)
    explorer = explore(found, 3, Pictures())
    assert explorer == Explorer({}, ["1 of 1 runs have no table of single images."])
    text = page(found, [], [], explorer, [], num_drawn=1)
    assert "There is no table of single images to explore." in text
    assert "70.0%" in text


def test_the_command_lists_unfinished_runs_and_draws_the_others(tmp_path, write_run, made, capsys):
    tables = made["measured"](made["history"](MOMENTS, 0.8), margin_table(made))
    write_run(tmp_path / "runs", tables)
    write_run(tmp_path / "runs", {"history": made["history"](MOMENTS, 0.1, 0.123)}, seed=1).set_status("failed")
    config = ReportConfig(runs=str(tmp_path / "runs"), outputs=str(tmp_path / "here"))
    check(config)
    report.run(config)
    text = (tmp_path / "here" / "report.html").read_text(encoding="utf-8")
    assert "1 failed, 1 finished" in text or "1 finished, 1 failed" in text
    assert "of the 1 finished runs among these 2" in text
    assert "Margins over training, with clean and robust error: digits, mlp." in text
    # the made config is no whole one, hence brings no data set
    assert "The images of digits are not shown" in text
    assert "2 runs," in capsys.readouterr().out


def test_a_paper_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="did you mean li2018"):
        check(ReportConfig(papers=["li2019"]))


def test_captions_become_html_without_styles_or_links():
    caption = "**R1.** a < b `code` [x](http://example.org) ![y](z)\n\n- one\n\n"
    text = as_html(caption + "| a | b |\n|---|---:|\n| <i> | 2 |\n")
    assert "<strong>R1.</strong> a &lt; b <code>code</code> [x](http" in text
    assert "<li>" in text
    assert '<td class="number">2</td>' in text
    assert "&lt;i&gt;" in text
    assert "style" not in text
    assert "href" not in text


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_pictures_are_the_pixels_themselves():
    draw = np.random.default_rng(0)
    colour = draw.integers(0, 256, (3, 6, 7), dtype=np.uint8)
    assert (pixels(picture(colour)) == colour.transpose(1, 2, 0)).all()
    beyond = np.array([[[-0.2, 0.0], [1.0, 1.7]]])
    assert pixels(picture(beyond)).tolist() == [[0, 0], [255, 255]]
    assert (pixels(difference(colour, colour)) == 128).all()
    assert max(pixels(picture(np.zeros((1, 500, 300)))).shape) <= 96
