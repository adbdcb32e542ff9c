"""A published study is read like its runs, and its figures and verdicts are redrawn byte for byte."""

from __future__ import annotations

import hashlib
import lzma

import numpy as np
import pandas as pd
import pytest

from bdry.commands import figures, publish
from bdry.errors import ConfigError, RunError
from bdry.runs import TABLES, find_runs, read_table
from bdry.runs.csvfile import COMPRESSED
from bdry.settings import FiguresConfig, PublishConfig, check
from bdry.studies.figures import FIGURES


def config(**values):
    found = PublishConfig(**values)
    check(found)
    return found


MOMENTS = [(0, 0.0), (10, 1.0), (40, 4.0)]


@pytest.fixture
def runs(tmp_path, write_run, made):
    draw = np.random.default_rng(0)
    for seed in (0, 1):
        values = draw.gamma(3, 1 / 3, (3, 25))
        rows = [made["margins"](MOMENTS, values, draw.random(25) < 0.7, split=split) for split in ("train", "test")]
        tables = made["measured"](made["history"](MOMENTS, [0.1, 0.8, 1.0]), *rows)
        write_run(tmp_path / "outputs", tables, seed=seed, dataset="mnist", arch="lenet", settings=SETTINGS)
    return str(tmp_path / "outputs")


@pytest.fixture
def undrawn(monkeypatch):
    """What is drawn is another test's: drawing takes most of the time."""
    monkeypatch.setattr(publish, "draw_figures", lambda *given: [])
    monkeypatch.setattr(publish, "claims_of", lambda *given: [])


SETTINGS = {
    "optim": {"name": "adam", "lr": 0.001, "schedule": "constant", "weight_decay": 0.0},
    "training": {"epochs": 4, "batch_size": 128},
    "margin": {"name": "deepfool"},
}


def test_what_is_published_is_redrawn_byte_for_byte(runs, tmp_path, monkeypatch):
    # a picture and a table stand for the others, each of which takes seconds
    some = {name: FIGURES["mickisch2020"][name] for name in ("R1", "T1", "trend")}
    monkeypatch.setitem(FIGURES, "mickisch2020", some)
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    again = FiguresConfig(runs=str(place), outputs=str(tmp_path / "again"))
    check(again)
    figures.run(again)
    redrawn = tmp_path / "again" / "figures" / "mickisch2020"
    published = [path for path in place.iterdir() if path.is_file()]
    assert {path.suffix for path in published} >= {".png", ".csv", ".md"}
    for path in published:
        assert (redrawn / path.name).read_bytes() == path.read_bytes(), path.name


def test_tables_keep_six_digits_and_their_checksums(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    records, skipped = find_runs([str(place)])
    originals, _ = find_runs([runs])
    assert not skipped
    assert [record.identity for record in records] == [record.identity for record in originals]
    for record, original in zip(records, originals, strict=True):
        path = record.run.table_path("margins")
        assert path.suffix == COMPRESSED
        kept, whole = (read_table(one, TABLES["margins"]) for one in (path, original.run.table_path("margins")))
        pd.testing.assert_frame_equal(kept, whole, rtol=1e-5)
        assert not (record.run.path / "checkpoints").exists()
    for line in (place / "data" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((place / "data" / name).read_bytes()).hexdigest() == digest


def test_too_large_data_leave_the_earlier_publication_as_it_was(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"more than max_mb=0.0001; the largest: runs/"):
        publish.run(config(runs=runs, to=str(place), max_mb=0.0001))
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_place_must_be_given():
    with pytest.raises(ConfigError, match="must be given, as in to="):
        config(runs="outputs")


def test_a_damaged_or_swollen_published_table_is_a_line(undrawn, runs, tmp_path, monkeypatch):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    path = find_runs([str(place)])[0][0].run.table_path("history")
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(RunError, match="damaged"):
        read_table(path, TABLES["history"])
    monkeypatch.setattr("bdry.runs.csvfile.TABLE_LIMIT", 1000)
    path.write_bytes(lzma.compress(b"0" * 2000))
    with pytest.raises(RunError, match="too large when unpacked"):
        read_table(path, TABLES["history"])
