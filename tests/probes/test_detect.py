"""The probe `detect`: balls where detection is certain, networks where it can tell nothing, a table that fits."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

from bdry.core.moment import Moment
from bdry.data import Dataset, Split
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.detection.settings import DetectionSettings
from bdry.studies.probes import PROBES, Context

# torch's own forward-mode differentiation compiles with it when it is first used
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

SHAPE = (1, 4, 4)
RADIUS = 0.5


def probe(data_seed=0, **settings):
    context = Context(functools.partial(ESTIMATORS["deepfool"], steps=50), "deepfool", data_seed)
    base = {
        "num_images": 12,
        "alphas": [1.0, 2.0],
        "overshoot": 0.02,
        "statistics": ["sample_curvature", "boundary_curvature"],
        "families": ["nearest_refined", "deepfool_end"],
        "num_directions": [10, 40],
        "fd_step": None,
        "num_candidates": None,
        "batch_size": 1000,
    }
    return PROBES["detect"](context, DetectionSettings(**(base | settings)))


class Ball(nn.Module):
    """Class 1 in a ball around the grey image, class 0 outside."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.full((16,), 0.5))

    def forward(self, x):
        squared = (x.flatten(1) - self.centre).square().sum(1, keepdim=True)
        return torch.cat([torch.zeros_like(squared), RADIUS**2 - squared], 1)


def around_the_ball(n):
    """Images a little outside of it."""
    direction = torch.randn(n, 16, generator=torch.Generator().manual_seed(0))
    images = 0.5 + 1.15 * RADIUS * direction / direction.norm(dim=1, keepdim=True)
    images = (255 * images.clamp(0, 1)).round().to(torch.uint8).reshape(n, *SHAPE)
    split = Split(images, torch.zeros(n, dtype=torch.int64), torch.arange(n))
    return Dataset("around", split[:0], split, ("outside", "inside"))


def network(arch="mlp", activation="softplus", num_classes=3):
    options = {} if arch == "linear" else {"widths": [16], "activation": activation}
    return build_classifier(arch, SHAPE, num_classes, mean=[0.5], std=[0.3], seed=0, options=options)


def measure(model, dataset, **settings):
    return probe(**settings).measure(model, dataset, Moment(3, 1.5)).tables


@pytest.mark.parametrize("step", [None, 0.05])
def test_a_ball_is_detected_without_error(step):
    tables = measure(Ball(), around_the_ball(12), fd_step=step)
    found = tables["detect_summary"]
    # 3 places, 2 numbers of directions, 2 alphas
    assert len(found) == 12
    assert (found["num_images"] == 12).all() and (found["auc"] == 1).all() and (found["recovery_rate"] == 1).all()
    assert (found["runner_up_rate"] == 1).all() and (found["flat_rate"] == 0).all()
    scores = tables["detect_scores"]
    at_boundary = scores[scores["statistic"] == "boundary_curvature"]
    sign = at_boundary["is_perturbed"].map({True: 1, False: -1})
    assert (at_boundary["score"] * sign).to_numpy() == pytest.approx(1 / RADIUS, rel=1e-4)
    assert set(scores["alpha"]) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("activation", ["softplus", "silu", "gelu", "relu"])
def test_the_tables_are_the_schemas_and_the_classifier_is_left_alone(tiny_dataset, activation, tmp_path):
    model = network(activation=activation)
    weights = [parameter.clone() for parameter in model.parameters()]
    tables = measure(model, tiny_dataset)
    assert set(tables) == {"detect_scores", "detect_summary"}
    for name, rows in tables.items():
        assert set(rows.columns) == set(TABLES[name].column_names)
        TableWriter(tmp_path / name, TABLES[name]).append(rows)
        assert len(read_table(tmp_path / name, TABLES[name])) == len(rows)
    assert len(tables["detect_scores"]) == 12 * 3 * 3 * 2
    # a network with kinks has second differences at the port's step, another exact derivatives
    step = tables["detect_scores"]["fd_step"].unique()
    assert step == pytest.approx([math.sqrt(16) * 10 / 512]) if activation == "relu" else math.isnan(step[0])
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert model.training and next(model.parameters()).requires_grad and next(model.parameters()).dtype == torch.float32


def test_a_linear_network_is_flat_and_tells_nothing(tiny_dataset):
    found = measure(network("linear"), tiny_dataset)["detect_summary"]
    assert (found["flat_rate"] == 1).all() and (found["auc"] == 0.5).all() and not found["beats_logit_gap"].any()
    assert (found.loc[found["family"] == "image", "recovery_rate"] == 0).all()


def test_two_classes(tiny_dataset):
    found = measure(network(num_classes=2), tiny_dataset.restricted([0, 2]))["detect_summary"]
    assert found["num_images"].max() > 2
    assert (found["recovery_rate"].dropna() == 1).all()


def test_one_image_is_too_few_for_a_summary_but_has_scores(tiny_dataset):
    tables = measure(network(), tiny_dataset, num_images=1)
    assert tables["detect_summary"]["auc"].isna().all() and (tables["detect_summary"]["num_images"] <= 1).all()
    assert tables["detect_scores"]["index"].nunique() == 1


def test_an_image_without_a_boundary_is_a_row_without_success(tiny_dataset):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]], dtype=x.dtype) + 0 * x.flatten(1)[:, :1]

    tables = measure(Constant(), tiny_dataset)
    assert (tables["detect_summary"]["num_images"] == 0).all()
    perturbed = tables["detect_scores"][tables["detect_scores"]["is_perturbed"]]
    assert not perturbed["success"].any() and perturbed["score"].isna().all() and (perturbed["recovered"] == -1).all()


def test_the_same_every_time_and_more_images_change_no_other_ones(tiny_dataset):
    first, again = (measure(network(), tiny_dataset)["detect_scores"] for _ in range(2))
    assert first.equals(again)
    other = measure(network(), tiny_dataset, data_seed=1)["detect_scores"]
    assert not first["score"].equals(other["score"])
