"""Any bytes at all in a run's or a data set's files: a right result or an error of ours, never another one."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import struct

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdry.data import DATASETS, vision
from bdry.errors import BdryError, DataError, RunError
from bdry.runs import TABLES, Run, TableWriter, find_runs, read_table
from bdry.runs.checkpoint import FORMAT, checkpoint_step, load_weights
from bdry.runs.csvfile import in_columns
from bdry.runs.owned import STATES
from bdry.runs.packed import PACKED, pack
from bdry.runs.reading import read_config, read_json, read_npz
from bdry.session.made_by import settings_given
from bdry.session.open_run import stored_config
from bdry.settings import TrainConfig

# the same folder serves every example: each writes its file anew
fuzz = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = st.text(max_size=12) | st.sampled_from(
    ["", "nan", "inf", "-1", "1e999", "9" * 40, "l2", "=1+1", "../x", "\x00", '"']
)
NUMBERS = st.integers() | st.floats() | st.booleans()
VALUES = st.recursive(
    st.none() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoiled(draw, whole):
    """`whole` with some bytes exchanged, cut out or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 6))] = draw(st.binary(max_size=8))
    return bytes(content)


@pytest.mark.parametrize("name", ["history", "margins", "batches"])
@fuzz
@given(data=st.data())
def test_tables(name, data, tmp_path):
    path, table = tmp_path / "t.csv", TABLES[name]
    width = len(table.columns)
    cells = WORDS | NUMBERS.map(str)
    rows = data.draw(st.lists(st.lists(cells, min_size=width - 1, max_size=width + 1), max_size=3))
    lines = [",".join(table.column_names), *(",".join(row) for row in rows)]
    path.write_bytes(data.draw(spoiled("\n".join([*lines, ""]).encode("utf-8", "replace"))))
    with contextlib.suppress(RunError):
        TableWriter(path, table).drop_after(2)
    with contextlib.suppress(RunError):
        found = read_table(path, table)
        assert found.columns.tolist() == table.column_names
        kinds = {"int": "i", "float": "f", "bool": "b"}
        assert all(found[c.name].dtype.kind == kinds[c.kind] for c in table.columns if c.kind in kinds)


@fuzz
@given(data=st.data())
def test_what_a_published_run_has_in_one_file(data, tmp_path):
    table = TABLES["history"]
    text = in_columns(pd.DataFrame({name: [0, 1] for name in table.column_names}), table, 4)
    pack(tmp_path, {"status.json": '{"state": "finished"}', "provenance.json": "[]", "tables/history.csv": text})
    (tmp_path / PACKED).write_bytes(data.draw(spoiled((tmp_path / PACKED).read_bytes())))
    run = Run(tmp_path)
    for read in (run.status, run.starts, run.state, lambda: run.has_table("history"), lambda: run.table("history")):
        with contextlib.suppress(RunError):
            read()


@fuzz
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
def test_configs_and_json_of_any_bytes(content, tmp_path):
    for name, read, kind in (("c.yaml", read_config, dict), ("s.json", read_json, object)):
        (tmp_path / name).write_bytes(content)
        with contextlib.suppress(RunError):
            assert isinstance(read(tmp_path / name), kind)


TAGS = ["int", "float", "bool", "timestamp", "binary", "set", "python/name:os.system"]
YAML_PARTS = [*(f"!!{tag} " for tag in TAGS), "a", ": ", "- ", "\n", "  ", "&x ", "*x", "{", "}", "[", "]", "0x", "0b"]
YAML_PARTS += ["1:60", "<<", "2026-13-45", "? ", "|", ">", "'", '"', "%YAML 9.9\n", "---\n", "~", ".", "_"]


@settings(fuzz, max_examples=100)
@given(parts=st.lists(st.sampled_from(YAML_PARTS), max_size=12))
def test_configs_of_the_words_of_yaml(parts, tmp_path):
    (tmp_path / "c.yaml").write_text("".join(parts))
    with contextlib.suppress(RunError):
        assert isinstance(read_config(tmp_path / "c.yaml"), dict)


def leaves(node, path=()):
    """The places of a config's values, those of its groups too."""
    for key, value in node.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


@settings(fuzz, max_examples=25)
@given(data=st.data())
def test_a_run_with_other_values_in_its_config(data, trained, tmp_path):
    run = tmp_path / "runs" / "fuzzed" / "seed=0"
    (run / "tables").mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((trained / "config.yaml").read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        *groups, last = data.draw(st.sampled_from(sorted(leaves(config))))
        node = config
        for group in groups:
            node = node[group]
        node[last] = data.draw(VALUES)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "status.json").write_text('{"state": "finished"}')
    with contextlib.suppress(RunError):
        assert isinstance(stored_config(Run(run)), TrainConfig)
    records, skipped = find_runs([str(tmp_path)])
    assert len(records) + len(skipped) == 1
    assert all("\n" not in line for line in skipped)


@fuzz
@given(status=VALUES, provenance=VALUES)
def test_status_and_provenance_of_any_values(status, provenance, tmp_path):
    run = Run(tmp_path / "runs" / "x" / "seed=0")
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "status.json").write_text(json.dumps(status))
    (run.path / "provenance.json").write_text(json.dumps(provenance))
    assert run.state() in (*STATES, "unknown")
    for entry in run.starts():
        words = settings_given(entry)
        assert words is None or all(isinstance(word, str) for word in words)


def npz():
    content = io.BytesIO()
    np.savez_compressed(content, images=np.ones((2, 3), np.float32), classes=np.arange(3))
    return content.getvalue()


@settings(fuzz, max_examples=60)
@given(content=spoiled(npz()))
def test_arrays(content, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with contextlib.suppress(RunError):
        assert all(isinstance(array, np.ndarray) for array in read_npz(tmp_path / "a.npz").values())


def weights():
    from safetensors.torch import save

    return save({"model.weight": torch.ones(2, 3)}, metadata={"format": FORMAT, "run": "r", "step": "3"})


@settings(fuzz, max_examples=60)
@given(content=spoiled(weights()))
def test_checkpoints(content, tmp_path):
    (tmp_path / "c").write_bytes(content)
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 3, 2, bias=False)
    for read in (lambda path: checkpoint_step(path, "r"), lambda path: load_weights(path, layer)):
        with contextlib.suppress(RunError):
            read(tmp_path / "c")


SHAPES = {
    "train-images-idx3-ubyte": (3, 2, 2),
    "train-labels-idx1-ubyte": (3,),
    "t10k-images-idx3-ubyte": (2, 2, 2),
    "t10k-labels-idx1-ubyte": (2,),
}


def idx(shape):
    values = np.arange(np.prod(shape)) % 10
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values.astype(np.uint8).tobytes()


@fuzz
@given(data=st.data(), name=st.sampled_from(sorted(SHAPES)))
def test_idx_files(data, name, tmp_path, monkeypatch):
    monkeypatch.setattr(vision, "IDX_FILES", SHAPES)
    raw = tmp_path / "MNIST" / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    for other, shape in SHAPES.items():
        (raw / other).write_bytes(idx(shape))
    (raw / name).write_bytes(data.draw(spoiled(idx(SHAPES[name]))))
    with contextlib.suppress(DataError):
        found = DATASETS["mnist"](root=str(tmp_path), download=False)
        assert (len(found.train), len(found.test)) == (3, 2)
        assert int(found.train.labels.max()) < 10


@settings(fuzz, max_examples=10)
@given(content=st.binary(max_size=200))
def test_cifar_files_whose_md5_is_another(content, tmp_path):
    from bdry._vision import torchvision_datasets

    source = torchvision_datasets().CIFAR10
    folder = tmp_path / source.base_folder
    folder.mkdir(exist_ok=True)
    for name, _ in [*source.train_list, *source.test_list, [source.meta["filename"], ""]]:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError):
        DATASETS["cifar10"](root=str(tmp_path), download=False)


@fuzz
@given(
    classes=st.lists(st.integers(0, 12), min_size=2, max_size=4, unique=True),
    sizes=st.tuples(st.none() | st.integers(1, 2000), st.none() | st.integers(1, 500)),
)
def test_digits_are_chosen_or_refused(classes, sizes, digits):
    with contextlib.suppress(BdryError):
        found = digits.restricted(classes).subset(*sizes, seed=0)
        assert found.num_classes == len(classes)
        assert set(found.train.labels.tolist()) == set(range(len(classes)))


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"]()
