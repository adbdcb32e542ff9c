"""The probe `shared`: a network that bends along known directions only, networks without any, tables that fit."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bdry.core.moment import Moment
from bdry.errors import ConfigError, UsageError
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.probes import PROBES, Context
from bdry.studies.shared.probe import default_dim
from bdry.studies.shared.settings import SharedSettings
from bdry.studies.shared.summary import summary

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

SHAPE = (1, 4, 4)


def probe(share=lambda done: None, **settings):
    context = Context(functools.partial(ESTIMATORS["deepfool"], steps=50), "deepfool", 0, share=share)
    base = {
        "num_train": 20,
        "num_test": 10,
        "num_noise": 24,
        "num_pca": 40,
        "num_per_image": 3,
        "dim": 4,
        "method": "auto",
        "beta": 10.0,
        "fd_step": 10.0,
        "num_directions": 20,
        "rel_norms": [0.1, 0.5],
        "energy_dims": [1, 4, 100],
        "batch_size": 100,
    }
    return PROBES["shared"](context, SharedSettings(**(base | settings)))


def network(arch="mlp", activation="softplus"):
    options = {} if arch == "linear" else {"widths": [24], "activation": activation}
    return build_classifier(arch, SHAPE, 3, mean=[0.5], std=[0.3], seed=0, options=options)


def bent_along(basis, seed=0):
    """A network that sees the coordinates along the columns of `basis`, (16, k), alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, basis.shape[1]), nn.Softplus(), nn.Linear(basis.shape[1], 3))
    model[1].weight.data = 4 * basis.T.clone()
    model[1].bias.data = -2 * basis.sum(0)
    model[3].weight.data *= 3
    return model


def measure(model, dataset, **settings):
    return probe(**settings).measure(model, dataset, Moment(3, 1.5))


def test_the_directions_that_a_network_sees_are_found_and_called_confounded(tiny_dataset):
    truth = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(5))).Q
    measured = measure(bent_along(truth), tiny_dataset, num_per_image=2, dim=5, rel_norms=[10.0])
    row = measured.tables["shared_summary"].iloc[0]
    assert (row["dim"], row["rank"], row["reach_rank"], row["confounded"]) == (3, 3, 3, True)
    assert any("span 3 dimensions alone" in line for line in summary(measured.tables.get, {}) if isinstance(line, str))
    found = measured.arrays["shared_dirs"]["shared"].reshape(3, 16)
    cosines = np.linalg.svd(found @ truth.numpy(), compute_uv=False)
    assert cosines == pytest.approx([1, 1, 1], abs=1e-5)
    noise = measured.tables["shared_noise"].set_index(["subspace", "rel_norm"])["label_change_rate"]
    assert noise["shared", 10.0] > 0 and noise["shared_complement", 10.0] == 0
    energy = measured.tables["shared_energy"].set_index(["subspace", "k"])["mean_energy"]
    assert energy["gradient", 1] <= 1 and energy["shared", 1] < 1


@pytest.mark.parametrize(("activation", "method"), [("softplus", "ad"), ("silu", "ad"), ("relu", "softplus_swap")])
def test_the_tables_are_the_schemas_and_the_classifier_is_left_alone(tiny_dataset, activation, method, tmp_path):
    model = network(activation=activation)
    weights = [parameter.clone() for parameter in model.parameters()]
    measured = measure(model, tiny_dataset)
    assert set(measured.tables) == {"shared_summary", "shared_rho", "shared_energy", "shared_noise"}
    for name, rows in measured.tables.items():
        assert set(rows.columns) == set(TABLES[name].column_names)
        TableWriter(tmp_path / name, TABLES[name]).append(rows)
        assert len(read_table(tmp_path / name, TABLES[name])) == len(rows)
    assert measured.tables["shared_summary"]["method"].tolist() == [method]
    assert set(measured.tables["shared_noise"]["subspace"]) == {
        *("shared", "shared_complement", "random", "pca", "gradient"),
        *("shared_minus_gradient", "reachable_complement", "mean_hessian"),
    }
    assert set(measured.tables["shared_energy"]["k"]) == {1, 4}
    assert measured.arrays["shared_dirs"]["shared"].shape == (4, *SHAPE)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert model.training and next(model.parameters()).requires_grad


@pytest.mark.parametrize("method", ["ad", "fd"])
def test_the_share_that_is_done_grows_up_to_all(method, tiny_dataset):
    shares = []
    measure(network(), tiny_dataset, share=shares.append, method=method)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert 0.9 < shares[-1] <= 1


def test_what_is_printed_is_of_the_last_step(tiny_dataset):
    measured = measure(network(), tiny_dataset)
    later = {name: rows.assign(step=7) for name, rows in measured.tables.items()}
    both = {name: pd.concat([rows, later[name]], ignore_index=True) for name, rows in measured.tables.items()}
    *said, rates = summary(both.get, {})
    assert "step 7: S has 4 dimensions, from 20 training images (nearest_refined)" in said
    noise = later["shared_noise"].set_index(["subspace", "rel_norm"])["label_change_rate"]
    assert rates.headings == ("noise in", "dimensions", "0.1", "0.5")
    assert ["shared", "4", f"{noise['shared', 0.1]:.1%}", f"{noise['shared', 0.5]:.1%}"] in rates.rows


def test_points_short_of_the_boundary_give_another_subspace(tiny_dataset):
    at, short = (measure(network(), tiny_dataset, points=name) for name in ("nearest_refined", "short_of_boundary"))
    rows = [found.tables["shared_summary"].iloc[0] for found in (at, short)]
    assert [row["points"] for row in rows] == ["nearest_refined", "short_of_boundary"]
    assert not np.allclose(at.arrays["shared_dirs"]["shared"], short.arrays["shared_dirs"]["shared"])
    for row, found in zip(rows, (at, short), strict=True):
        assert row["mean_hessian_dim"] == len(found.arrays["shared_dirs"]["mean_hessian"]) == 4
        assert 0 < row["mean_hessian_overlap"] <= 1


def test_the_same_every_time(tiny_dataset):
    first, again = (measure(network(), tiny_dataset).tables for _ in range(2))
    assert all(first[name].equals(again[name]) for name in first)


def test_fewer_points_than_dimensions_span_a_smaller_subspace(tiny_dataset):
    row = measure(network(), tiny_dataset, num_train=1, num_per_image=2, dim=8).tables["shared_summary"].iloc[0]
    assert row["dim"] == 2


def test_without_a_boundary_there_is_a_summary_alone(tiny_dataset):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]], dtype=x.dtype) + 0 * x.flatten(1)[:, :1]

    measured = measure(Constant(), tiny_dataset)
    assert set(measured.tables) == {"shared_summary"} and not measured.arrays
    assert measured.tables["shared_summary"][["num_points", "dim"]].to_numpy().tolist() == [[0, 0]]
    (said,) = summary(measured.tables.get, {})
    assert said == "step 3: no training image has a boundary point with curvatures, hence no direction is shared"


def test_what_cannot_be_shared_is_refused_in_a_line(tiny_dataset):
    with pytest.raises(UsageError, match="affine network"):
        measure(network("linear"), tiny_dataset)
    with pytest.raises(UsageError, match="activation is ReLU"):
        measure(network(activation="relu"), tiny_dataset, method="ad")
    with pytest.raises(ConfigError, match="dim=17: images have 16 pixels"):
        measure(network(), tiny_dataset, dim=17)


def test_central_differences_of_a_relu_network(tiny_dataset):
    summary = (
        measure(network(activation="relu"), tiny_dataset, method="fd", fd_step=200.0).tables["shared_summary"].iloc[0]
    )
    assert summary["method"] == "fd" and summary["scale"] == pytest.approx(4 * 200 / 512)


def test_the_default_dimension_is_the_papers_share():
    assert [default_dim(d) for d in (3072, 784, 64, 2)] == [200, 50, 4, 1]
