"""A file of images that changed under its name is another data set: nothing of the old one is taken for the new one."""

import numpy as np
import pytest

SMALL = ["arch=linear", "training.epochs=1", "probe=[]", "training.batch_size=8", "evaluation.robust_images=0"]


def write(path, level):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, level, (40, 4, 4))
    np.savez(path, images=images, labels=np.arange(40) % 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, bdry):
    """A folder with a file of images, a run trained on it, and the same command's run after the file has changed."""
    place = tmp_path_factory.mktemp("changed")
    (place / "module.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))\n"
    )
    train = ["train", "dataset=arrays", "dataset.file=mine.npz", *SMALL]
    margin = ["margin", "classifier=module:build", "dataset=arrays", "dataset.file=mine.npz", "norms=[l2]"]
    runs, measurements = [], []
    for level in (0.5, 1.0):
        write(place / "mine.npz", level)
        for words in (train, margin):
            done = bdry(*words, cwd=place)
            assert done.returncode == 0, done.stderr
        runs.append({path.parent for path in place.glob("outputs/runs/*/seed=0/status.json")})
        measurements.append({path.parent for path in place.glob("outputs/measurements/*/status.json")})
    return place, runs, measurements


def test_training_and_measuring_begin_anew(trained):
    _, runs, measurements = trained
    assert [len(found) for found in (*runs, *measurements)] == [1, 2, 1, 2]


def test_a_run_is_not_measured_on_other_images(trained, bdry):
    place, (first, both), _ = trained
    (old,), (new,) = first, both - first
    refused = bdry("margin", f"run={old}", cwd=place)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"mine.npz: not the images that run={old} was trained on" in refused.stderr
    done = bdry("margin", f"run={new}", "norms=[l2]", cwd=place)
    assert done.returncode == 0, done.stderr
