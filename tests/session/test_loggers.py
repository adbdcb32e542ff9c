"""`logger=tensorboard|wandb|mlflow`: scalars, figures and summaries of a real run; a line where it is missing."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from bdry.cli import main
from bdry.errors import UsageError
from bdry.runs import Run
from bdry.session.loggers import open_logger

WORDS = ["dataset=digits", "dataset.num_train=40", "dataset.num_test=20", "training.epochs=2", "arch.widths=[8]"]
WORDS += ["probe.margin.num_train=5", "probe.margin.num_test=5", "evaluation.robust_images=0"]
# of which every moment has another value
TAG = "history/test_loss"


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """A function that trains with a logger; the run's folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)

    def train(name):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'bdry[{name}]'")
        assert main(["train", *WORDS, f"logger={name}"]) == 0
        (folder,) = Path("outputs/runs").glob("*/seed=0")
        return folder

    return train


def wandb_records(file):
    """What a run's file of Weights & Biases holds, by their own messages.

    It is a log of LevelDB's with 7 bytes before it: blocks of 32 KiB of pieces of records, each a checksum, a length
    and a kind (whole 1, first 2, middle 3, last 4).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, records, parts = file.read_bytes(), 7, [], b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            records.append(Record.FromString(parts))
            parts = b""
    return records


def last(folder, table="history"):
    return pd.read_csv(folder / "tables" / f"{table}.csv").iloc[-1]


# protobuf's and SQLAlchemy's own words to their makers
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_tensorboard_has_scalars_and_pictures(trained):
    folder = trained("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert events.Scalars("history/test_accuracy")[-1].value == pytest.approx(last(folder).test_accuracy)
    (name,) = events.Tags()["images"]
    assert name.startswith("margin_evolution")
    with Image.open(io.BytesIO(events.Images(name)[0].encoded_image_string)) as image:
        assert (image.width, image.height) == (events.Images(name)[0].width, events.Images(name)[0].height)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_wandb_offline_has_scalars_pictures_and_a_summary(trained, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = trained("wandb")
    (offline,) = (folder / "wandb").glob("offline-run-*")
    (file,) = offline.glob("run-*.wandb")
    records = wandb_records(file)
    (begun,) = (record.run for record in records if record.HasField("run"))
    assert begun.run_group == folder.parent.name
    logged = [
        (one.history.step.num, {"/".join(item.nested_key) or item.key: item.value_json for item in one.history.item})
        for one in records
        if one.HasField("history")
    ]
    losses = {step: float(items[TAG]) for step, items in logged if TAG in items}
    history = pd.read_csv(folder / "tables" / "history.csv").set_index("step")
    assert losses == pytest.approx(history.test_loss.to_dict())
    picture = {}
    for key, text in ((key, text) for _, items in logged for key, text in items.items() if "margin_evolution" in key):
        # its fields one by one, or all of them at once
        value, (*_, field) = json.loads(text), key.split("/")
        picture |= value if isinstance(value, dict) else {field: value}
    with Image.open(offline / "files" / picture["path"]) as image:
        assert image.size == (picture["width"], picture["height"])
    summary = {
        "/".join(item.nested_key) or item.key: item.value_json
        for one in records
        if one.HasField("summary")
        for item in one.summary.update
    }
    assert float(summary[TAG]) == pytest.approx(last(folder).test_loss)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.slow
@pytest.mark.parametrize("store", ["", "file"])
def test_mlflow_has_parameters_scalars_and_pictures_in_a_local_store(store, trained, tmp_path, monkeypatch):
    if store:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = trained("mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(
        (tmp_path / "mlruns").as_uri() if store else f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}"
    )
    experiment = client.get_experiment_by_name(folder.parent.name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["training.epochs"] == "2"
    assert run.data.metrics["history/test_accuracy"] == pytest.approx(last(folder).test_accuracy)
    steps = [one.step for one in client.get_metric_history(run.info.run_id, "history/test_accuracy")]
    assert steps == pd.read_csv(folder / "tables" / "history.csv").step.tolist()
    (picture,) = client.list_artifacts(run.info.run_id, "figures")
    with Image.open(client.download_artifacts(run.info.run_id, picture.path, str(tmp_path))) as image:
        assert image.format == "PNG"
    # the same run again, as after a kill, goes on in the same place
    log = open_logger("mlflow", Run(folder.resolve()), {"seed": 0})
    log(99, {"history": pd.read_csv(folder / "tables" / "history.csv").tail(1)})
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow.entities")],
)
def test_what_is_not_installed_is_a_line(name, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"logger={name}: not installed: pip install 'bdry\[{name}\]'"):
        open_logger(name, Run(tmp_path), {})
    assert open_logger("csv", Run(tmp_path), {})(0, {}) is None
    assert not list(tmp_path.iterdir())


def test_a_logger_that_there_is_not_is_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["train", "logger=wandbb"])
    assert left.value.code == 2
    assert "logger=wandbb: not one of csv, tensorboard, wandb, mlflow, did you mean wandb?" in capsys.readouterr().err
