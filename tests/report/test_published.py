"""A published study is read like its runs, and its figures and verdicts are redrawn byte for byte."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bdry.cli import main
from bdry.commands import figures, publish
from bdry.errors import BdryError, ConfigError, RunError, UsageError
from bdry.figures.captions import apart, together
from bdry.runs import TABLES, Column, Measurement, Run, Table, find_runs, published
from bdry.runs.arrays import path_of, read_arrays, write_arrays
from bdry.runs.csvfile import from_columns, in_columns
from bdry.runs.owned import STATUS
from bdry.runs.packed import PACKED, pack, packed_names, unpacked
from bdry.runs.published import CAPTIONS, PIXEL_STEP, UNREAD, checksums, take
from bdry.session.open_run import open_run
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


def content(place):
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def pieces(place):
    """The same with what is packed file by file."""
    found = content(place)
    for name in [name for name in found if name.endswith(PACKED)]:
        with zipfile.ZipFile(io.BytesIO(found.pop(name))) as archive:
            found |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
    return found


def drawn(place):
    """Figures, captions, tables and verdicts."""
    return {name: found for name, found in content(place).items() if Path(name).suffix in (".png", ".md", ".csv")}


def intact(place):
    """Whether the files of a publication are those of its checksums, and no others."""
    return {name: digest for digest, name in checksums(place)} == {
        name: hashlib.sha256(found).hexdigest() for name, found in content(place).items() if name != "SHA256SUMS"
    }


@pytest.fixture
def undrawn(monkeypatch):
    """What is drawn is another test's: drawing takes most of the time."""
    monkeypatch.setattr(publish, "redraw", lambda *given, **more: [])


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
    assert {"claims.csv", "claims.md", "results.csv"} < drawn(place).keys()
    assert {path.suffix for path in place.iterdir()} == {".png", ".csv", ".md", ".json", ""}
    (caption,) = redrawn.glob("*.caption.md")
    assert apart((place / CAPTIONS).read_text()) == {"R1-mnist-lenet": caption.read_text()}
    for name, content in drawn(place).items():
        assert name == CAPTIONS or (redrawn / name).read_bytes() == content, name
    with Image.open(next(place.glob("R1-*.png"))) as picture:
        assert picture.mode == "P"
        assert 1000 < picture.width < 2500


def test_verdicts_are_those_of_the_runs_up_to_the_digits_published(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(FIGURES, "mickisch2020", {})
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    of_runs = FiguresConfig(runs=runs, outputs=str(tmp_path / "unpublished"))
    check(of_runs)
    figures.run(of_runs)
    one, other = (
        pd.read_csv(folder / "claims.csv").select_dtypes("number")
        for folder in (place, tmp_path / "unpublished" / "figures" / "mickisch2020")
    )
    assert one.notna().to_numpy().any()
    pd.testing.assert_frame_equal(one, other, rtol=1e-3, atol=1e-3)


def test_of_the_smallest_seed_alone_there_is_what_figures_show_of_one_seed(undrawn, runs, tmp_path):
    for path in Path(runs).rglob("seed=*"):
        (path / "arrays").mkdir()
        for name in ("svm", "points", "of_a_user"):
            np.savez(path / "arrays" / f"{name}-step=00000001.npz", one=np.zeros(1))
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    kept = sorted(path.relative_to(place / "data" / "runs").parts[1:] for path in place.rglob("*.npz"))
    experiments = {record.run.experiment for record in find_runs([runs])[0]}
    assert kept == [("seed=0", "arrays", "svm-step=00000001.npz")] * len(experiments)


def test_images_keep_what_a_picture_shows_and_other_arrays_all(undrawn, runs, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "strips 0-1 image": rng.random((2, 1, 4, 4), dtype=np.float32),
        "strips 0-1 fgsm point": np.full((1, 1, 4, 4), 1e-7, dtype=np.float32),
        "strips 0-1 fgsm p": np.array([[1e-7, 1 / 3]]),
    }
    for path in Path(runs).rglob("seed=*"):
        write_arrays(path_of(path, "pictures", 1), "pictures", arrays)
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    kept = read_arrays(next(place.rglob("*.npz")), "pictures")
    assert np.abs(kept["strips 0-1 image"] - arrays["strips 0-1 image"]).max() <= PIXEL_STEP / 2
    assert not (kept["strips 0-1 image"] % PIXEL_STEP).any()
    assert kept["strips 0-1 image"].dtype == np.float32
    assert not kept["strips 0-1 fgsm point"].any()
    assert np.array_equal(kept["strips 0-1 fgsm p"], arrays["strips 0-1 fgsm p"])


def test_tables_keep_four_digits_those_of_images_three_and_their_checksums(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    records, skipped = find_runs([str(place)])
    originals, _ = find_runs([runs])
    assert not skipped
    assert [record.identity for record in records] == [record.identity for record in originals]
    for record, original in zip(records, originals, strict=True):
        assert not record.run.table_path("margins").exists()
        kept, whole = (one.run.table("margins") for one in (record, original))
        unread = list(UNREAD["margins"])
        assert ((kept[unread] == -1) | kept[unread].isna()).all(axis=None)
        pd.testing.assert_frame_equal(kept.drop(columns=unread), whole.drop(columns=unread), rtol=5e-3)
        assert kept["margin"].map(lambda margin: f"{margin:.3g}").astype(float).equals(kept["margin"])
        kept, whole = (one.run.table("margin_summary") for one in (record, original))
        pd.testing.assert_frame_equal(kept, whole, rtol=5e-4)
        assert not (record.run.path / "checkpoints").exists()
    assert intact(place)


def test_a_published_run_is_exported_with_its_tables(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    assert main(["export", str(place), "--output", str(tmp_path / "all.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path / "exported")
    for one, other in zip(*(find_runs([str(folder)])[0] for folder in (place, tmp_path / "exported")), strict=True):
        pd.testing.assert_frame_equal(one.table("margins"), other.table("margins"))


def test_a_published_quotient_is_computed_from_its_parts():
    table = TABLES["first_order"]
    gaps, lengths = np.array([0.5, 2.0, 3.0]), np.array([0.25, 1.6, 0.0])
    words = {"split": "train", "norm": "l2", "correct": True}
    values = {"logit_gap": gaps, "gradient_norm": lengths, "margin": [2.0, 1.25, np.nan]}
    rows = pd.DataFrame({column.name: 0 for column in table.columns} | words | values, index=range(3))
    text = in_columns(rows, table, 4)
    assert from_columns(text, Path("here"), table)["margin"].tolist() == pytest.approx(values["margin"], nan_ok=True)
    # the text itself has none
    assert text.count("margin,nan,nan,nan") == 1


def test_a_published_share_keeps_its_digits_near_1():
    # at four digits of the number itself the largest were ties, and a rank correlation with them another
    table = Table("t", "", (Column("confidence", "float", "", is_share=True),))
    values = [0.0012345, 0.41239, 0.83276, 0.99995678, 0.999999881, 1.0, np.nan]
    text = in_columns(pd.DataFrame({"confidence": values}), table, 3)
    assert text == "confidence,0.00123,0.412,0.833,0.9999568,0.999999881,1,nan\n"


def test_captions_are_on_one_page_from_which_each_can_be_taken(tmp_path):
    texts = {"R1-mnist-lenet": "**Margins.** What.\n\n- `a`: seeds 0\n", "R2": "**Other.**\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.caption.md").write_text(text)
    page = together([tmp_path / f"{name}.caption.md" for name in texts])
    assert apart(page) == texts


def test_what_is_read_of_the_main_study_alone_is_left_out_of_others(undrawn, write_run, made, tmp_path):
    values = {"split": "train", "norm": "l2", "correct": True, "logit_gap": 1.0, "gradient_norm": 1.0, "margin": 1.0}
    row = pd.DataFrame({name: [values.get(name, 0)] for name in TABLES["first_order"].column_names})
    tables = {"history": made["history"](MOMENTS, [0.1, 0.8, 1.0]), "first_order": row}
    for study in ("main", "control: SGD"):
        settings = SETTINGS | {"optim": SETTINGS["optim"] | {"name": study[:3]}}
        write_run(tmp_path / "outputs", tables, dataset="mnist", arch="lenet", study=study, settings=settings)
    publish.run(config(runs=str(tmp_path / "outputs"), to=str(tmp_path / "results")))
    records, _ = find_runs([str(tmp_path / "results")])
    kept = {record.identity["study"]: [record.run.has_table(name) for name in tables] for record in records}
    assert kept == {"main": [True, True], "control: SGD": [True, False]}


def test_too_large_data_leave_the_earlier_publication_as_it_was(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"more than max_mb=0.0001; the largest: .*data/runs/"):
        publish.run(config(runs=runs, to=str(place), max_mb=0.0001))
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


BISECTION = {"epoch": 1.0, "step": 1, "source": 0, "target": 1, "method": "deepdig", "attempt": 1, "num_active": 1}
BISECTION |= dict.fromkeys(("gap_q25", "gap_median", "gap_q75"), 0.5)


def test_arrays_are_those_of_the_smallest_seed_there_whatever_came_and_went(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    seeds = {seed: next(Path(runs).rglob(f"seed={seed}")) for seed in (0, 1)}
    for path in seeds.values():
        run = Run(path)
        with run.claimed():
            run.writer("bisection").append(pd.DataFrame([BISECTION]))
            run.set_status("finished")
        (path / "arrays").mkdir()
        np.savez(path / "arrays" / "svm-step=00000001.npz", one=np.zeros(1))

    def of_one_seed():
        found = {path.parent.parent.name for path in place.rglob("*.npz")}
        assert found == {path.name for path in place.rglob("seed=*") if Run(path).has_table("bisection")}
        return found

    publish.run(config(runs=str(seeds[1]), to=str(place)))
    assert of_one_seed() == {"seed=1"}
    # a smaller seed is added
    publish.run(config(runs=str(seeds[0]), to=str(place)))
    assert of_one_seed() == {"seed=0"}
    before = content(place)
    publish.run(config(runs=runs, to=str(place)))
    assert {name: found for name, found in content(place).items() if name.startswith("data/")} == {
        name: found for name, found in before.items() if name.startswith("data/")
    }
    # and taken out again by hand
    shutil.rmtree(next(place.rglob("seed=0")))
    publish.run(config(runs=str(seeds[1]), to=str(place)))
    assert of_one_seed() == {"seed=1"}


def test_runs_of_another_paper_are_not_judged_by_this_one(undrawn, runs, tmp_path):
    for path in Path(runs).rglob("config.yaml"):
        path.write_text(path.read_text() + "paper: li2018/mnist\n")
    with pytest.raises(UsageError, match=r"paper=mickisch2020: the runs are of li2018, as in paper=li2018"):
        publish.run(config(runs=runs, to=str(tmp_path / "results")))
    assert not (tmp_path / "results").exists()


def test_runs_of_another_paper_beside_them_are_skipped(undrawn, runs, tmp_path, capsys):
    (path,) = Path(runs).rglob("seed=1")
    (path / "config.yaml").write_text((path / "config.yaml").read_text() + "paper: li2018/mnist\n")
    publish.run(config(runs=runs, to=str(tmp_path / "results")))
    assert [path.name for path in (tmp_path / "results").rglob("seed=*")] == ["seed=0"]
    assert f"skipped: {path}: a run of li2018" in capsys.readouterr().err


def test_a_publication_is_not_written_into_another(undrawn, runs, tmp_path):
    publish.run(config(runs=runs, to=str(tmp_path / "results")))
    before = content(tmp_path / "results")
    with pytest.raises(RunError, match="is inside the publication"):
        publish.run(config(runs=runs, to=str(tmp_path / "results" / "mnist" / "one")))
    assert content(tmp_path / "results") == before
    assert not (tmp_path / "results" / "mnist").exists()


def test_what_is_refused_leaves_no_folder(undrawn, runs, tmp_path):
    with pytest.raises(UsageError, match=r"figure=R01: no such figure of mickisch2020, did you mean figure=R1\?"):
        publish.run(config(runs=runs, to=str(tmp_path / "some" / "where" / "results"), figure="R01"))
    with pytest.raises(RunError, match="more than max_mb"):
        publish.run(config(runs=runs, to=str(tmp_path / "some" / "where" / "results"), max_mb=0.001))
    assert not (tmp_path / "some").exists()


def test_a_place_must_be_given():
    with pytest.raises(ConfigError, match="must be given, as in to="):
        config(runs="outputs")


def test_a_damaged_or_swollen_published_table_is_a_line(undrawn, runs, tmp_path, monkeypatch):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    run = find_runs([str(place)])[0][0].run
    path = run.path / PACKED
    whole = path.read_bytes()
    for spoiled in (whole[:-10], whole[: len(whole) // 2], b"", b"PK"):
        path.write_bytes(spoiled)
        with pytest.raises(RunError, match=r"published\.zip: damaged"):
            run.table("history")
    # of a later version of the format, or encrypted
    last = whole.rfind(b"PK\x01\x02")
    for place, byte in ((last + 6, 255), (last + 8, 1)):
        path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        with pytest.raises(RunError, match=r"published\.zip.*: damaged"):
            [run.table(name) for name in TABLES if run.has_table(name)]
    middle = len(whole) // 3
    path.write_bytes(whole[:middle] + bytes(20) + whole[middle + 20 :])
    with pytest.raises(RunError, match=r"published\.zip.*: damaged"):
        [run.table(name) for name in TABLES if run.has_table(name)]
    pack(run.path, {"tables/history.csv": "step,0,0\nepoch,0\n"})
    with pytest.raises(RunError, match=r"published\.zip/tables/history\.csv: damaged \(a column is shorter"):
        run.table("history")
    monkeypatch.setattr("bdry.runs.owned.TABLE_LIMIT", 1000)
    pack(run.path, {"tables/history.csv": "0" * 2000})
    with pytest.raises(RunError, match="too large when unpacked"):
        run.table("history")


def test_a_packed_measurement_is_named_by_a_folder_of_its_own(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    run = find_runs([str(place)])[0][0].run
    texts = {name: unpacked(run.path, name, 10**6) for name in packed_names(run.path)}
    names = ("svm-1a2b3c4d", "..", ".", ".svm", "svm/../..", "sv\nm")
    pack(run.path, texts | {f"measurements/{name}/status.json": '{"state": "finished"}' for name in names})
    (record,) = find_runs([str(run.path)])[0]
    assert [found.path for found in record.measurements()] == [run.path / "measurements" / "svm-1a2b3c4d"]
    pack(run.path, texts | {"measurements/svm-1a2b3c4d/status.json": '{"state": '})
    assert not record.measurements()
    with pytest.raises(RunError, match=r"published.zip/measurements/svm-1a2b3c4d/status.json: damaged"):
        record.measurements(unfinished=True)[0].status()


def test_a_folder_of_published_seeds_is_told_from_a_run(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    experiment = find_runs([str(place)])[0][0].run.path.parent
    with pytest.raises(RunError, match=r"no run itself but a folder of seed=0, seed=1; add one of these to the path"):
        open_run(str(experiment), "last", torch.device("cpu"))


def test_a_publication_of_another_version_is_not_added_to(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    run = find_runs([str(place)])[0][0].run
    words = {name: unpacked(run.path, name, 10**6) for name in ("config.yaml", "status.json")}
    pack(run.path, words | {"tables/history.csv": "step,0\n"})
    before = content(place)
    with pytest.raises(RunError, match=r"zip/tables/history\.csv: not the columns .* another version of bdry"):
        publish.run(config(runs=runs, to=str(place)))
    assert content(place) == before
    # a file of its own for each table, as they were published once
    (run.path / "tables").mkdir()
    (run.path / "tables" / "history.csv.xz").touch()
    _, skipped = find_runs([str(place)])
    assert skipped == [f"{run.path}: published by an earlier version of bdry; publish its study anew"]


def test_a_study_that_grows_on_two_machines(undrawn, runs, tmp_path, write_run, made, capsys):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    first = pieces(place)
    published = find_runs([str(place)])[0]
    third = Run(tmp_path / "third" / "runs" / published[0].run.path.parent.name / "seed=0")
    shutil.copytree(published[0].run.path, third.path)
    tables = {"history": made["history"](MOMENTS, [0.1, 0.8, 1.0])}
    place_of_new = tmp_path / "elsewhere"
    write_run(place_of_new, tables, seed=2, dataset="mnist", arch="lenet", settings=SETTINGS)
    # cut short: told to the verdicts, without tables
    torn = write_run(place_of_new, tables, seed=3, dataset="mnist", arch="lenet", settings=SETTINGS)
    torn.set_status("failed", error="the loss is not a number")
    # seed 0 was taken from the publication, and measured once more
    again = Run(place_of_new / "runs" / published[0].run.path.parent.name / "seed=0")
    take(place, again)
    assert again.finished
    further = Measurement.of_run(again, "margin", {"num_test": 3})
    with further.claimed():
        further.write_config({"command": "margin"})
        shutil.copyfile(torn.table_path("history"), further.table_path("history"))
        further.set_status("finished")
    publish.run(config(runs=str(place_of_new), to=str(place)))
    assert intact(place)
    second = pieces(place)
    unchanged = {name for name in first if name.startswith("data/")}
    assert {name: second[name] for name in unchanged} == {name: first[name] for name in unchanged}
    added = {name.removesuffix(STATUS).split("/", 3)[3] for name in second.keys() - unchanged if name.endswith(STATUS)}
    assert added == {
        f"seed=2/{PACKED}/",
        f"seed=3/{PACKED}/",
        f"seed=0/{PACKED}/measurements/{further.path.name}/",
    }
    (kept,) = find_runs([str(published[0].run.path)])[0][0].measurements()
    assert kept.read_config() == {"command": "margin"}
    pd.testing.assert_frame_equal(kept.table("history"), further.table("history"), rtol=5e-4)
    everything, _ = find_runs([str(place)], unfinished=True)
    assert [(record.identity["seed"], record.state) for record in everything] == [
        (0, "finished"),
        (1, "finished"),
        (2, "finished"),
        (3, "failed"),
    ]
    # taken again, the measurement comes along
    assert not find_runs([str(third.path)])[0][0].measurements()
    take(place, third)
    (taken,) = find_runs([str(third.path)])[0][0].measurements()
    assert taken.path == third.path / "measurements" / further.path.name
    assert taken.finished
    pd.testing.assert_frame_equal(taken.table("history"), kept.table("history"))
    # a failed run is none to take
    fourth = Run(third.path.with_name("seed=3"))
    take(place, fourth)
    assert not fourth.path.exists()
    # trained anew: the whole run is published anew, without measurements of the other training
    shutil.rmtree(again.path)
    write_run(place_of_new, tables, seed=0, dataset="mnist", arch="lenet", settings=SETTINGS)
    (again.path / "status.json").write_text(json.dumps({"state": "finished", "pid": -1}))
    publish.run(config(runs=str(place_of_new), to=str(place)))
    assert not [name for name in pieces(place) if "measurements" in name]
    assert not list(tmp_path.glob(".results*"))


def test_other_files_are_not_replaced(undrawn, runs, tmp_path):
    place = tmp_path / "docs"
    place.mkdir()
    (place / "mine.md").write_text("mine")
    with pytest.raises(
        RunError, match=r"holds files that bdry publish did not write \(mine.md\); name an empty folder"
    ):
        publish.run(config(runs=runs, to=str(place)))
    assert content(place) == {"mine.md": b"mine"}


def test_a_full_disk_is_told_of_by_the_name_that_the_user_knows(undrawn, runs, tmp_path, monkeypatch):
    publish.run(config(runs=runs, to=str(tmp_path / "before")))

    def full(*given):
        raise OSError(28, "No space left on device", str(given[0]))

    for owner, name, full_disk in (
        (publish, "write_json", full),
        (published, "pack", lambda folder, files: full(folder / PACKED)),
    ):
        with monkeypatch.context() as patched, pytest.raises(BdryError) as caught:
            patched.setattr(owner, name, full_disk)
            publish.run(config(runs=runs, to=str(tmp_path / "results")))
        assert str(caught.value).startswith(f"{tmp_path}/results/")
        assert ".part" not in str(caught.value)
        assert caught.value.exit_code == 1
        assert not (tmp_path / "results").exists()
    (run,) = [record.run for record in find_runs([runs])[0] if record.identity["seed"] == 0]
    place = Run(tmp_path / "taken" / run.path.parent.name / run.path.name)
    monkeypatch.setattr(published, "copy_folder", lambda source, target: full(target / "config.yaml"))
    with pytest.raises(OSError, match="No space left") as caught:
        take(tmp_path / "before", place)
    assert caught.value.filename == str(place.path / "config.yaml")


KILLED = """
import sys
from bdry.commands import publish
from bdry.settings import PublishConfig, check

publish.redraw = lambda *given, **more: []
config = PublishConfig(runs=sys.argv[1], to=sys.argv[2])
check(config)
print("begun", flush=True)
for _ in range(1000):
    publish.run(config)
"""


def test_killed_at_any_moment_there_is_a_whole_publication(undrawn, runs, tmp_path):
    place = tmp_path / "results"
    publish.run(config(runs=runs, to=str(place)))
    for position in range(8):
        process = subprocess.Popen([sys.executable, "-c", KILLED, runs, str(place)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.05 + 0.013 * position)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert intact(place)
    publish.run(config(runs=runs, to=str(place)))
    assert intact(place)
    assert not list(tmp_path.glob(".results*"))


def test_where_names_cannot_be_exchanged_a_kill_between_two_renames_is_made_good(undrawn, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("bdry.runs.published._exchange_names", lambda *given: False)
    place = tmp_path / "results"
    for _ in range(2):
        publish.run(config(runs=runs, to=str(place)))
        assert intact(place)
    place.rename(tmp_path / ".results.old")
    with pytest.raises(RunError, match="more than max_mb"):
        publish.run(config(runs=runs, to=str(place), max_mb=0.0001))
    assert intact(place)


def test_numbers_beside_images_stay_numbers(undrawn, runs, tmp_path):
    films = {"natural-pair": np.array([3, 4]), "natural": np.full((2, 3, 1, 4, 4), 1 / 3, dtype=np.float32)}
    for path in Path(runs).rglob("seed=*"):
        write_arrays(path_of(path, "films", 1), "films", films)
    publish.run(config(runs=runs, to=str(tmp_path / "results")))
    kept = read_arrays(next((tmp_path / "results").rglob("*.npz")), "films")
    assert kept["natural-pair"].tolist() == [3, 4]
    assert not (kept["natural"] % PIXEL_STEP).any()


def test_a_file_is_no_place_to_publish_to(undrawn, runs, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(RunError, match=r"notes\.txt: is a file; name a folder"):
        publish.run(config(runs=runs, to=str(notes)))
    assert notes.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"outputs", "notes.txt"}


def test_a_copied_folder_is_the_same_seed(undrawn, runs, tmp_path):
    (seed,) = Path(runs).rglob("seed=0")
    shutil.copytree(seed, seed.with_name("seed=0 (copy)"))
    publish.run(config(runs=runs, to=str(tmp_path / "results")))
    assert sorted(path.name for path in (tmp_path / "results").rglob("seed=*")) == ["seed=0", "seed=1"]


def test_of_several_trainings_of_a_run_the_latest_is_published(undrawn, runs, tmp_path):
    (seed,) = Path(runs).rglob("seed=0")
    earlier = tmp_path / "z" / seed.parent.name / "seed=0"
    shutil.copytree(seed, earlier)
    for path, time_of in ((seed, "2026-02-01"), (earlier, "2026-01-01")):
        (path / STATUS).write_text(json.dumps({"state": "finished", "updated": time_of}))
    publish.run(config(runs=[runs, str(tmp_path / "z")], to=str(tmp_path / "results")))
    (kept,) = (tmp_path / "results").rglob("seed=0")
    assert Run(kept).status()["updated"] == "2026-02-01"


def test_a_measurement_that_the_smallest_seed_lacks_has_its_arrays(undrawn, runs, tmp_path):
    (path,) = Path(runs).rglob("seed=1")
    later = Measurement.of_run(Run(path), "svm", {"steps": 3})
    with later.claimed():
        later.write_config({"command": "svm"})
        (later.path / "arrays").mkdir()
        np.savez(later.path / "arrays" / "svm-step=00000001.npz", one=np.zeros(1))
        later.set_status("finished")
    publish.run(config(runs=runs, to=str(tmp_path / "results")))
    (kept,) = (tmp_path / "results").rglob("*.npz")
    assert kept.parts[-5:-1] == ("seed=1", "measurements", later.path.name, "arrays")
