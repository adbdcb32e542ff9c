"""`bdry margin keep_points=` and `bdry report` on a real run: points beside unchanged tables, the very images."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
from PIL import Image

from bdry.runs import Measurement

TRAIN = ("dataset=digits", "dataset.classes=[3,5]", "dataset.num_train=40", "dataset.num_test=30", "training.epochs=1")
PROBE = ("probe.margin.num_train=6", "probe.margin.num_test=6", "evaluation.robust_images=4", "threads=1")


def test_a_page_about_a_run_that_keeps_points(bdry, tmp_path):
    assert bdry("train", *TRAIN, *PROBE, cwd=tmp_path).returncode == 0
    (run,) = (tmp_path / "outputs" / "runs").glob("*/seed=0")
    small = ("num_train=6", "num_test=6", "keep_points=2", "threads=1")
    done = bdry("margin", f"run={run.relative_to(tmp_path)}", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (place,) = run.glob("measurements/*")
    (path,) = (place / "arrays").glob("points-*.npz")
    last = int(re.search(r"step=(\d+)", path.name).group(1))
    points = Measurement(place).read_arrays("points", last)
    assert len(points["point"]) == 2 * 2 * 2
    # the rows of the last moment are those that the probe wrote in training
    (header, *rows), (_, *measured) = (
        (folder / "tables" / "margins.csv").read_text().splitlines() for folder in (run, place)
    )
    assert header.startswith("step,")
    assert measured == [row for row in rows if row.startswith(f"{last},")]

    done = bdry("report", "papers=[mickisch2020]", "num_images=4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "outputs" / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="explorer-data">(.*?)</script>', text, re.DOTALL).group(1))
    (shown,) = data["runs"]
    assert shown["classes"] == ["3", "5"]
    assert len(shown["images"]) == 4
    for image in shown["images"]:
        of_it = (points["split"] == image["split"]) & (points["index"] == image["index"])
        uri = data["pictures"][image["picture"]]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        assert (pixels == points["image"][of_it][0][0]).all()
        assert all("point" in row and "difference" in row for row in image["nearest"])
