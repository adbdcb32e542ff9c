"""Probe `curvature`: how the decision boundary bends at points near images, chosen by several rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ...core.measuring import MANY_PIXELS, in_channels_last, measuring
from ...core.moment import Moment
from ...core.seeds import generator
from ...data import Dataset, Split
from ...errors import UsageError
from ...geometry.boundary.directions import random_tangents
from ...geometry.boundary.points import BoundaryPoints
from ...geometry.boundary.sections import label_sections
from ...geometry.boundary.smoothness import PiecewiseLinearError, in_double, kinks, piecewise_linear_layers
from ...geometry.boundary.spectrum import profile
from ...models import Classifier
from ...names import CURVATURE_METHODS, FAMILIES
from ..measured import PROBES, Context, Measured, Spent
from .methods import SEARCH, Curvatures, Wanted, found_tangents, tangent_sides
from .settings import CurvatureSettings

NO_KINKS = "none"
# of labels at a point: most, least and randomly curved
NUM_PLANES = 3
ALTERNATIVES = (
    "take arch.activation=softplus|silu|gelu, or measure at a finite scale: geometric (-2s/t^2), softplus_swap, "
    "smoothed or fd (central differences)"
)


@PROBES.register("curvature")
@dataclass(frozen=True)
class CurvatureProbe:
    """Principal curvatures, their profile, the tangent plane's sides and planes of labels, in float64.

    Of large images heights over tangent planes and labels are looked up in float32 (see `Wanted.looked_at`).

    Images, random directions and partners are functions of the data set's seed: the same at every moment and for every
    seed of training. Sign: F = f_own - f_other.

    Reference: arXiv 1705.09552, section 3.
    """

    context: Context
    settings: CurvatureSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `boundary`, `curvature_summary`, `curvature_profile`, `tangent_sides`; arrays of spectra, planes."""
        settings = self.settings
        chosen = dataset.splits()[settings.split].balanced(settings.num_images, self.context.data_seed)
        collected = _Collected()
        with measuring(classifier):
            model = in_double(classifier)
            methods, shape = self._methods(model), dataset.image_shape
            single = in_channels_last(classifier) if math.prod(shape) > MANY_PIXELS else None
            planes = min(settings.num_sections, len(chosen))
            wanted = [
                Wanted(
                    settings,
                    self.context.data_seed,
                    spectra=family in settings.spectra,
                    ends=int(bool(planes and number == 0)),
                    say=self.context.say,
                    single=single,
                )
                for number, family in enumerate(settings.families)
            ]
            work = [len(chosen) * each.work(methods, shape) for each in wanted]
            work[0] += planes * NUM_PLANES * settings.resolution**2
            for number, family in enumerate(settings.families):
                spent = Spent(self.context.share, sum(work), sum(work[:number]))
                self._measure_family(
                    collected,
                    model,
                    chosen,
                    family,
                    replace(wanted[number], spend=spent),
                    planes=planes if number == 0 else 0,
                )
        about = {"step": moment.step, "epoch": moment.epoch, "split": settings.split}
        tables = {name: pd.concat(rows, ignore_index=True) for name, rows in collected.tables.items()}
        return Measured({name: rows.assign(**about) for name, rows in tables.items()}, collected.arrays)

    def _measure_family(
        self, collected: _Collected, model: nn.Module, chosen: Split, family: str, wanted: Wanted, *, planes: int
    ) -> None:
        def find(network: nn.Module) -> BoundaryPoints:
            draw = generator(self.context.data_seed, f"boundary points {family}")
            own = {"estimator": self.settings.estimator} if family == "nearest_refined" else {}
            return FAMILIES[family](network, chosen.pixels().double(), draw, **own)

        wanted.say(f"{family}: boundary points")
        points = find(model)
        wanted.spend(SEARCH * len(chosen))
        found, tangents = found_tangents(wanted, points, family)
        least = torch.full_like(points.distance, torch.nan)
        if len(found.own):
            sides = {t: tangent_sides(wanted, model, found, tangents, t) for t in self.settings.distances}
            for t, side in sides.items():
                columns = {"index": chosen.index[points.success], **vars(side)}
                collected.add("tangent_sides", columns, family=family, t=t, num_directions=self.settings.num_directions)
            for method in self._methods(model):
                for result in _curvatures(method, wanted, model, points, sides, find):
                    collected.add_curvatures(result, chosen, family, method, "+".join(kinks(model)) or NO_KINKS)
                    if method == "ad":
                        least[points.success] = result.columns["kmin"] * found.distance
                    # once, by the first method; another network's tangents are not those of these points
                    if planes and result.extremes is not None and result.points is points:
                        arrays = self._planes(wanted, model, found, chosen.index[points.success], result, planes)
                        collected.arrays["curvature_sections"] = arrays
                        planes = 0
        columns = _boundary_columns(points, chosen) | {"kappa_min_times_distance": least}
        collected.add("boundary", columns, family=family)

    def _methods(self, model: nn.Module) -> list[str]:
        """The methods by name, `auto` as what the network's layers call for."""
        automatic = "geometric" if piecewise_linear_layers(model) else "ad"
        return list(dict.fromkeys(automatic if method == "auto" else method for method in self.settings.methods))

    def _planes(
        self, wanted: Wanted, model: nn.Module, found: BoundaryPoints, index: Tensor, result: Curvatures, most: int
    ) -> dict[str, np.ndarray]:
        """Labels in the planes of the normal and the most, least and randomly curved tangent, at `most` points."""
        assert result.extremes is not None
        rows = result.extremes.flatten(1).isfinite().all(1).nonzero()[:most, 0]
        chosen = found.take(rows)
        draw = generator(self.context.data_seed, "planes")
        tangents = {
            "max": result.extremes[rows, 0],
            "min": result.extremes[rows, 1],
            "random": random_tangents(chosen.gradient, 1, draw)[:, 0],
        }
        planes = {"index": index[rows], "own": chosen.own, "other": chosen.other}
        looking, looked_at = wanted.looked_at(model, chosen)
        for name, tangent in tangents.items():
            wanted.say(f"{found.family}: planes of the tangent {name}")
            section = label_sections(
                looking,
                looked_at.point,
                looked_at.normal,
                tangent.to(looked_at.point),
                extent=self.settings.extent,
                resolution=self.settings.resolution,
                batch_size=self.settings.batch_size,
            )
            wanted.spend(len(rows) * self.settings.resolution**2)
            planes |= {"axis": section.axis.to(chosen.point), name: section.labels}
        for name in ("kmax", "kmin"):
            planes[name] = result.columns[name][rows]
        at_distance = result.solver == "section"
        planes["distance"] = torch.full_like(planes["kmax"], result.scale if at_distance else torch.nan)
        return {name: values.cpu().numpy() for name, values in planes.items()}


class _Collected:
    """Rows by table and arrays by file, of the families measured so far."""

    def __init__(self) -> None:
        self.tables: dict[str, list[pd.DataFrame]] = {}
        self.arrays: dict[str, dict[str, np.ndarray]] = {}

    def add(self, table: str, columns: Mapping[str, Tensor], **constant: object) -> None:
        """Rows of a table from columns of tensors, with constant columns beside them."""
        rows = pd.DataFrame({name: column.detach().cpu().numpy() for name, column in columns.items()})
        self.tables.setdefault(table, []).append(rows.assign(**constant))

    def add_curvatures(self, result: Curvatures, chosen: Split, family: str, method: str, kinds: str) -> None:
        """What a method found: its summary and, where all curvatures are known, its spectra and profile."""
        about = {"family": family, "method": method, "scale": result.scale}
        index = chosen.index[result.points.success]
        accuracy = float((result.points.own == chosen.labels).double().mean())
        constant = {"solver": result.solver, "affine": result.affine, "kinks": kinds, "accuracy": accuracy}
        self.add("curvature_summary", {"index": index, **result.columns}, **about, **constant)
        if result.spectrum is not None:
            name = f"{family}-{method}-{result.scale:g}"
            spectra = self.arrays.setdefault("curvature_spectrum", {})
            spectra |= {name: result.spectrum.float().cpu().numpy(), f"{name}-index": index.cpu().numpy()}
            self.add("curvature_profile", _profile_columns(result.spectrum), **about)


def _curvatures(method: str, wanted: Wanted, model: nn.Module, *found: Any) -> Iterator[Curvatures]:
    """What a method gives; where it takes a smooth network, a line that says what else there is."""
    try:
        yield from CURVATURE_METHODS[method](wanted, model, *found)
    except PiecewiseLinearError as error:
        raise UsageError(f"methods=[{method}]: {error}; {ALTERNATIVES}") from error


def _boundary_columns(points: BoundaryPoints, chosen: Split) -> dict[str, Tensor]:
    """The columns of table `boundary` that do not need curvature."""
    return {
        "index": chosen.index,
        "label": chosen.labels,
        "own": points.own,
        "other": points.other,
        "success": points.success,
        "distance_found": points.found,
        "distance": points.distance,
        "value": points.value,
        "cosine": points.cosine,
        "stationary": points.stationary,
        "top_two": points.top_two,
        "iterations": points.iterations,
        "gradient_norm": points.gradient.flatten(1).norm(dim=1),
    }


def _profile_columns(spectrum: Tensor) -> dict[str, Tensor]:
    found = profile(spectrum)
    columns = {name: getattr(found, name) for name in ("rank", "mean", "q10", "q50", "q90")}
    return columns | {"num_points": torch.full_like(found.rank, found.num_points)}
