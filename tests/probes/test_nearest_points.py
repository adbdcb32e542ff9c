"""Points kept for pictures: on the boundary, at the distance that the table margins says, in rows of their images."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from bdry.core.measuring import measuring
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.studies.margins.in_batches import nearest_points

NORMS = {"l2": 2, "linf": np.inf}


@pytest.fixture
def classifier(tiny_dataset):
    options = {"widths": [16], "activation": "relu"}
    return build_classifier("mlp", (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0, options=options)


def test_every_point_is_at_its_margin_and_just_beyond_the_boundary(tiny_dataset, classifier):
    estimators = {"deepfool": functools.partial(ESTIMATORS["deepfool"], steps=50), "walk": ESTIMATORS["walk"]}
    with measuring(classifier):
        kept = nearest_points(classifier, tiny_dataset.splits(), estimators, ["l2", "linf"], [False, True])
    assert {len(column) for column in kept.values()} == {(48 + 24) * 2 * 2 * 2}
    distance = (kept["point"] - kept["image"].astype(np.float32) / 255).reshape(len(kept["point"]), -1)
    for norm, order in NORMS.items():
        rows = kept["norm"] == norm
        np.testing.assert_allclose(np.linalg.norm(distance[rows], order, axis=1), kept["margin"][rows], rtol=1e-4)
    with torch.no_grad():
        beyond = classifier.eval()(torch.from_numpy(kept["point"])).argmax(1).numpy()
        start = classifier(torch.from_numpy(kept["image"]).float() / 255).argmax(1).numpy()
    assert (beyond == kept["boundary_class"]).all()
    assert (beyond != start).all()
    inside = kept["point"][kept["clipped"]]
    assert inside.min() >= 0
    assert inside.max() <= 1
    for name, split in tiny_dataset.splits().items():
        rows = kept["split"] == name
        assert (split.images.numpy()[kept["index"][rows]] == kept["image"][rows]).all()
        assert (split.labels.numpy()[kept["index"][rows]] == kept["label"][rows]).all()


def test_what_was_not_found_has_no_row(tiny_dataset, classifier):
    # one step that is not lengthened ends at or before the boundary of a curved network
    estimators = {"deepfool": functools.partial(ESTIMATORS["deepfool"], steps=1, overshoot=0.0)}
    with measuring(classifier):
        kept = nearest_points(classifier, {"test": tiny_dataset.test}, estimators, ["l2"], [False])
    assert len(kept["point"]) < len(tiny_dataset.test)
    assert np.isfinite(kept["point"]).all()
