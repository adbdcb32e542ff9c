"""What the probe `svm` keeps as arrays: margins of all samples, angles of class pairs, and maps in two dimensions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...data import Split
from ...lastlayer import LastLayer, angle_degrees, paper_comparator
from ...lastlayer.layer import pair_margins
from ...models import Classifier
from .scene import Scene

# points of a map's scatter, at most
SHOWN = 2000


def layer_arrays(scene: Scene, layer: LastLayer) -> dict[str, np.ndarray]:
    """margins_nn and margins_s1, (N,): smallest pair margin / norm; pair_angles, (K, K): of w_i - w_j, degrees.

    Without S1 where the classes are not separable; pair_angles is nan on the diagonal.
    """
    found = {"margins_nn": _normalised(scene, layer)}
    if scene.s1.separable:
        a, b = layer.centred().weights, scene.s1.layer.weights
        angles = [[angle_degrees(a[i] - a[j], b[i] - b[j]) for j in range(len(a))] for i in range(len(a))]
        found |= {"margins_s1": _normalised(scene, scene.s1.layer), "pair_angles": np.array(angles)}
    return found


def _normalised(scene: Scene, layer: LastLayer) -> np.ndarray:
    margins = pair_margins(layer.logits(scene.views.features), scene.views.labels).amin(1)
    norm = layer.centred().joint().norm()
    return _array(margins / norm if float(norm) > 0 else margins * torch.nan)


def feature_map(scene: Scene, layer: LastLayer, resolution: int) -> dict[str, np.ndarray]:
    """Labels on a grid over the box of two features, enlarged by a tenth; nothing where there are not two.

    feature_x, feature_y: (R,) axes. feature_nn, feature_<variant>: (R, R) labels, a row a value of y.
    feature_points, feature_labels: samples, every n-th. feature_support: support vectors of S1.
    """
    features = scene.views.features
    if features.shape[1] != 2 or resolution == 0:
        return {}
    low, high = features.amin(0), features.amax(0)
    # a dead feature has no extent
    room = torch.where(high > low, 0.05 * (high - low), 0.5)
    x, y = (torch.linspace(float(a), float(b), resolution) for a, b in zip(low - room, high + room, strict=True))
    points = _grid(x, y).to(features)
    every = max(1, -(-len(features) // SHOWN))
    found = {
        "feature_x": _array(x),
        "feature_y": _array(y),
        "feature_nn": _map(layer.predict(points), resolution),
        "feature_points": _array(features[::every]),
        "feature_labels": _array(scene.views.labels[::every]),
    }
    for name, solution in scene.solutions.items():
        if bool(solution.layer.joint().any()):
            found[f"feature_{name}"] = _map(solution.layer.predict(points), resolution)
    if scene.s1.separable:
        found["feature_support"] = _array(features[scene.s1.support_vectors])
    return found


@torch.no_grad()
def input_map(
    classifier: Classifier, train: Split, scene: Scene, resolution: int, batch_size: int
) -> dict[str, np.ndarray]:
    """Labels on a grid over the unit square of images of two pixels; nothing for other images.

    input_axis: (R,). input_nn: by the network, input_s1: by S1 on its features, input_svm: by the paper's SVM on the
    pixels themselves, (R, R), a row a value of the second pixel. input_points, input_labels: images, every n-th.
    """
    if train.images.shape[1:] != (1, 1, 2) or resolution == 0:
        return {}
    axis = torch.linspace(0, 1, resolution)
    points = _grid(axis, axis)
    images = points.reshape(-1, 1, 1, 2).to(train.images.device)
    parts = [classifier.features(part).flatten(1) for part in images.split(batch_size)]
    features = torch.cat(parts).to(scene.views.features)
    head = LastLayer(classifier.head.weight.to(features), classifier.head_bias.to(features))
    pixels = train.pixels().flatten(1).cpu()
    labels = train.labels.cpu()
    every = max(1, -(-len(labels) // SHOWN))
    found = {
        "input_axis": _array(axis),
        "input_nn": _map(head.predict(features), resolution),
        "input_svm": _map(paper_comparator(pixels, labels, len(head.weights)).layer.predict(points), resolution),
        "input_points": _array(pixels[::every]),
        "input_labels": _array(labels[::every]),
    }
    if scene.s1.separable:
        found["input_s1"] = _map(scene.s1.layer.predict(features), resolution)
    return found


def _grid(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def _map(labels: Tensor, resolution: int) -> np.ndarray:
    return _array(labels.reshape(resolution, resolution)).astype(np.int16)


def _array(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().cpu().numpy()
    return found
