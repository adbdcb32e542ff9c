"""`logger=tensorboard|wandb|mlflow`: scalars, figures and summaries of a real run; a line where it is missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

from bdry.cli import main
from bdry.errors import UsageError
from bdry.runs import Run
from bdry.session.loggers import open_logger

WORDS = ["dataset=digits", "dataset.num_train=40", "dataset.num_test=20", "training.epochs=2", "arch.widths=[8]"]
WORDS += ["probe.margin.num_train=5", "probe.margin.num_test=5", "evaluation.robust_images=0"]


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_wandb_offline_has_scalars_pictures_and_a_summary(trained, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = trained("wandb")
    (offline,) = (folder / "wandb").glob("offline-run-*")
    content = b"".join(path.read_bytes() for path in offline.glob("run-*.wandb"))
    for word in (b"history/test_accuracy", b"margin_summary", b"margin_evolution", str(folder.parent.name).encode()):
        assert word in content
    assert list(offline.rglob("*.png"))


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
    assert picture.path.endswith(".png")
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
