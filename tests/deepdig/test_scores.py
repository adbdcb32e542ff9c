"""Scores of a classifier, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bdry.deepdig import class_scores

LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2])
PREDICTED = torch.tensor([0, 0, 1, 2, 1, 0, 0])


def test_scores_by_hand():
    found = class_scores(LABELS, PREDICTED, 4)
    np.testing.assert_array_equal(found.confusion, [[2, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(found.num_images, [4, 2, 1, 0])
    np.testing.assert_allclose(found.accuracy, [0.5, 0.5, 0, math.nan])
    np.testing.assert_allclose(found.precision, [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(found.f1, [0.5, 0.5, 0, 0])
    assert found.overall == pytest.approx(3 / 7)
    assert found.f1_micro == pytest.approx(3 / 7)
    assert found.f1_macro == pytest.approx(0.25)
    assert found.f1_weighted == pytest.approx((4 * 0.5 + 2 * 0.5) / 7)


@pytest.mark.parametrize(("labels", "predicted"), [(LABELS, PREDICTED[:3]), (LABELS[:0], PREDICTED[:0])])
def test_shapes_that_do_not_fit_are_named(labels, predicted):
    with pytest.raises(ValueError, match=r"labels of shape \(\d,\), predicted"):
        class_scores(labels, predicted, 4)
