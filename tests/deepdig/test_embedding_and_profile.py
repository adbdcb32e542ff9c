"""The two dimensions to look at and the profiles along segments, where both are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bdry.deepdig import Plane, principal_embedding, profiles


def test_the_embedding_is_that_of_the_largest_deviations():
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(400, 5, generator=draw) * torch.tensor([0.1, 5.0, 0.1, 2.0, 0.1]) + 3
    found = principal_embedding(features)
    assert abs(found.axes[0, 1]) == pytest.approx(1, abs=0.01)
    assert abs(found.axes[1, 3]) == pytest.approx(1, abs=0.01)
    coordinates = found.project(features)
    np.testing.assert_allclose(coordinates.mean(0), 0, atol=1e-5)
    assert coordinates.std(0) == pytest.approx([5, 2], rel=0.1)


def test_a_planes_line_is_where_its_distance_is_zero():
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    found = principal_embedding(features)
    normal = np.array([0.5, -0.5, 0.5, 0.5])
    plane = Plane(normal, 0.3)
    a, b, c = found.line(plane)
    for place in ((0.0, 0.0), (1.0, -2.0)):
        point = found.mean + np.array(place) @ found.axes
        assert a * place[0] + b * place[1] + c == pytest.approx(float(plane.distance(point[None])[0]))


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (9, 1)])
def test_too_little_for_two_dimensions_is_none(shape):
    assert principal_embedding(torch.zeros(shape)) is None


def test_profiles_see_the_classes_between():
    def model(x):
        u = x.flatten(1)[:, 0]
        label = torch.tensor([0, 2, 1])[torch.bucketize(u, torch.tensor([0.4, 0.6]))]
        return 9 * torch.nn.functional.one_hot(label, 3).float()

    points = torch.tensor([0.0, 1.0])[:, None, None, None]
    found = profiles(model, points, (0, 1), seed=0, count=3, grid=11)
    assert found.label.shape == (3, 11)
    for label in found.label.tolist():
        assert label in (
            [0] * 5 + [2] + [1] * 5,
            [1] * 5 + [2] + [0] * 5,
            [0] * 5 + [2] * 2 + [1] * 4,
            [1] * 4 + [2] * 2 + [0] * 5,
        )
    assert found.length.tolist() == [1, 1, 1]
    assert bool((found.p_source[found.label == 0] > 0.99).all())


@pytest.mark.parametrize("n", [0, 1])
def test_no_profile_without_two_points(n):
    found = profiles(lambda x: x.flatten(1), torch.zeros(n, 1, 1, 2), (0, 1), seed=0, count=5)
    assert len(found.label) == len(found.length) == 0
