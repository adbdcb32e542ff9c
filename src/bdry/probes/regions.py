"""Probe `regions`: paths between points of one label inside its region, and how convex the regions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch

from ..core.measuring import measuring
from ..core.moment import Moment
from ..data import Dataset, Split
from ..errors import UsageError
from ..geometry.connectivity import PathResult, find_paths, recheck
from ..geometry.convexity import convex_combinations
from ..geometry.paths import filmstrip
from ..geometry.pathsearch import Budget
from ..geometry.regions import Projection
from ..geometry.scenarios import SCENARIOS, Pairs
from ..models import Classifier
from .probe import PROBES, Context, Measured


@PROBES.register("regions")
@dataclass(frozen=True)
class RegionsProbe:
    """Paths in three scenarios and convex combinations, of a class-balanced subset of one split.

    Pairs, random splits and weights are functions of the data set's seed: where labels agree, they are the same at
    every moment and for every seed of training. A scenario that the labels do not allow (`perturbed` where all images
    have one) has no rows.

    Reference: docs/papers/fawzi2017.md, Connectivity.
    """

    context: Context
    pairs: int
    scenarios: Sequence[str]
    split: str
    images: int | None
    spacing: float
    depth: int
    calls: int
    retries: int
    projection_steps: int
    overshoot: float
    clipped: bool
    recheck: int
    films: int
    film_images: int
    ks: Sequence[int]
    combinations: int
    weight_laws: Sequence[str]
    batch_size: int

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `paths` and `convexity`; arrays `paths` (anchors of every path that is not straight) and `films`."""
        split = dataset.splits()[self.split]
        chosen = split if self.images is None else split.balanced(self.images, self.context.data_seed)
        tables: dict[str, list[pd.DataFrame]] = {"paths": [], "convexity": []}
        arrays: dict[str, dict[str, np.ndarray]] = {"paths": {}, "films": {}}
        with measuring(classifier):
            for scenario in self.scenarios:
                found = self._search(classifier, chosen, scenario)
                if found is None:
                    continue
                pairs, paths = found
                finer = recheck(classifier, paths, finer=self.recheck) if self.recheck else None
                tables["paths"].append(_rows(pairs, paths, finer).assign(scenario=scenario))
                self._keep(arrays, scenario, paths)
            for law in self.weight_laws if self.ks else ():
                tables["convexity"].append(self._convexity(classifier, chosen, law))
        about = {"step": moment.step, "epoch": moment.epoch, "split": self.split}
        return Measured(
            {name: pd.concat(parts, ignore_index=True).assign(**about) for name, parts in tables.items() if parts},
            {name: parts for name, parts in arrays.items() if parts},
        )

    def _search(self, classifier: Classifier, chosen: Split, scenario: str) -> tuple[Pairs, PathResult] | None:
        """The scenario's pairs and their paths; None where there are no such pairs."""
        seed = self.context.data_seed
        how = Projection(self.projection_steps, self.overshoot, self.clipped)
        try:
            pairs = SCENARIOS[scenario](classifier, chosen, self.pairs, seed=seed, how=how, batch_size=self.batch_size)
        except UsageError:
            return None
        budget = Budget(self.depth, self.calls, self.retries)
        paths = find_paths(
            classifier,
            pairs.x1,
            pairs.x2,
            step=self.spacing,
            budget=budget,
            how=how,
            seed=seed,
            batch_size=self.batch_size,
        )
        return pairs, paths

    def _keep(self, arrays: dict[str, dict[str, np.ndarray]], scenario: str, paths: PathResult) -> None:
        found = paths.found.nonzero()[:, 0].tolist()
        for pair in found:
            if paths.num_anchors[pair] > 0:
                arrays["paths"][f"{scenario}-{pair}"] = paths.anchors[pair].cpu().numpy()
        kept = found[: self.films]
        if kept:
            strips = [filmstrip(paths.anchors[pair], self.film_images) for pair in kept]
            arrays["films"][scenario] = torch.stack(strips).cpu().numpy()
            arrays["films"][f"{scenario}-pair"] = np.array(kept)

    def _convexity(self, classifier: Classifier, chosen: Split, law: str) -> pd.DataFrame:
        rows = convex_combinations(
            classifier,
            chosen.pixels(),
            ks=self.ks,
            num_per_class=self.combinations,
            weight_law=law,
            seed=self.context.data_seed,
            batch_size=self.batch_size,
        )
        return pd.DataFrame([asdict(row) for row in rows]).rename(columns={"n": "num_combinations"})


def _rows(pairs: Pairs, paths: PathResult, finer: torch.Tensor | None) -> pd.DataFrame:
    """The rows of table `paths` without step, epoch, split and scenario."""
    nothing = torch.full_like(paths.relative_length, torch.nan)
    columns = {
        "pair": torch.arange(len(paths.label)),
        "label": pairs.label,
        "index1": pairs.index1,
        "index2": pairs.index2,
        "in_region": pairs.success,
        "distance": paths.distance,
        "straight": paths.straight,
        "found": paths.found,
        "num_anchors": paths.num_anchors,
        "depth": paths.depth,
        "relative_length": paths.relative_length,
        "label_checks": paths.label_checks,
        "projections": paths.projections,
        "attempts": paths.attempts,
        "budget_hit": paths.budget_hit,
        "holds_finer": nothing if finer is None else torch.where(paths.found, finer.to(nothing), nothing),
    }
    rows = pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})
    return rows.assign(spacing=paths.step)
