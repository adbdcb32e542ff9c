"""Probe `regions`: paths between points of one label inside its region, and how convex the regions are."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch

from ...core.measuring import MANY_PIXELS, in_channels_last, measuring
from ...core.moment import Moment
from ...data import Dataset, Split
from ...errors import UsageError, show_value
from ...geometry.regions.connectivity import PathResult, find_paths, recheck
from ...geometry.regions.convexity import TooFewImagesError, convex_combinations
from ...geometry.regions.paths import filmstrip
from ...geometry.regions.projection import Projection
from ...geometry.regions.scenarios import Pairs
from ...geometry.regions.search import Budget
from ...models import Classifier
from ...names import SCENARIOS
from ..measured import PROBES, Context, Measured
from .settings import RegionsSettings

# labels that a pair of large images takes: two segments' worth
MANY_LABELS = 20_000


@PROBES.register("regions")
@dataclass(frozen=True)
class RegionsProbe:
    """Paths in three scenarios and convex combinations, of a class-balanced subset of one split.

    Pairs, random splits and weights are functions of the data set's seed: where labels agree, they are the same at
    every moment and for every seed of training. A scenario that the labels do not allow (`perturbed` where all images
    have one) has no rows.

    Reference: arXiv 1705.09552, section 2.
    """

    context: Context
    settings: RegionsSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `paths` and `convexity`; arrays `paths` (anchors of every path that is not straight) and `films`."""
        settings = self.settings
        split = dataset.splits()[settings.split]
        size = settings.num_images
        chosen = split if size is None else split.balanced(size, self.context.data_seed)
        tables: dict[str, list[pd.DataFrame]] = {"paths": [], "convexity": []}
        arrays: dict[str, dict[str, np.ndarray]] = {"paths": {}, "films": {}}
        told = _Told(self.context, len(settings.scenarios))
        if math.prod(dataset.image_shape) > MANY_PIXELS:
            classifier = in_channels_last(classifier)  # type: ignore[assignment]
        with measuring(classifier):
            # first, since it is quick, and is where too few images are refused
            self.context.say("convex combinations")
            for law in settings.weight_laws if settings.ks else ():
                tables["convexity"].append(self._convexity(classifier, chosen, law))
            for number, scenario in enumerate(settings.scenarios):
                told.before = number
                found = self._search(classifier, chosen, scenario, told)
                if found is None:
                    continue
                pairs, paths = found
                self.context.say(f"{scenario}: looking at the paths again")
                finer = recheck(classifier, paths, finer=settings.recheck) if settings.recheck else None
                tables["paths"].append(_rows(pairs, paths, finer).assign(scenario=scenario))
                self._keep(arrays, scenario, paths)
        about = {"step": moment.step, "epoch": moment.epoch, "split": settings.split}
        return Measured(
            {name: pd.concat(parts, ignore_index=True).assign(**about) for name, parts in tables.items() if parts},
            {name: parts for name, parts in arrays.items() if parts},
        )

    def _search(
        self, classifier: Classifier, chosen: Split, scenario: str, told: _Told
    ) -> tuple[Pairs, PathResult] | None:
        """The scenario's pairs and their paths; None where there are no such pairs."""
        settings, seed = self.settings, self.context.data_seed
        self.context.say(f"{scenario}: pairs")
        how = Projection(settings.projection_steps, settings.overshoot, settings.clipped)
        pairs = SCENARIOS[scenario](
            classifier, chosen, settings.num_pairs, seed=seed, how=how, batch_size=settings.batch_size
        )
        if len(pairs.label) == 0:
            return None
        most = settings.max_labels
        if most is None and pairs.x1[0].numel() > MANY_PIXELS:
            most = MANY_LABELS
        budget = Budget(settings.depth, settings.num_segments, settings.num_retries, most)
        paths = find_paths(
            classifier,
            pairs.x1,
            pairs.x2,
            step=settings.spacing,
            budget=budget,
            how=how,
            finder=settings.finder,
            seed=seed,
            batch_size=settings.batch_size,
            say=lambda attempt, left, done: told.attempt(scenario, attempt, left, len(pairs.label), done),
        )
        return pairs, paths

    def _keep(self, arrays: dict[str, dict[str, np.ndarray]], scenario: str, paths: PathResult) -> None:
        found = paths.found.nonzero()[:, 0].tolist()
        for pair in found:
            if paths.num_anchors[pair] > 0:
                arrays["paths"][f"{scenario}-{pair}"] = paths.anchors[pair].cpu().numpy()
        kept = found[: self.settings.num_films]
        if kept:
            strips = [filmstrip(paths.anchors[pair], self.settings.num_film_images) for pair in kept]
            arrays["films"][scenario] = torch.stack(strips).cpu().numpy()
            arrays["films"][f"{scenario}-pair"] = np.array(kept)

    def _convexity(self, classifier: Classifier, chosen: Split, law: str) -> pd.DataFrame:
        try:
            rows = convex_combinations(
                classifier,
                chosen.pixels(),
                ks=self.settings.ks,
                num_per_class=self.settings.num_combinations,
                weight_law=law,
                seed=self.context.data_seed,
                batch_size=self.settings.batch_size,
            )
        except TooFewImagesError as error:
            enough = [k for k in self.settings.ks if k <= error.largest]
            raise UsageError(f"ks={show_value(self.settings.ks)}: {error}: ks={show_value(enough)} would do") from error
        return pd.DataFrame([asdict(row) for row in rows]).rename(columns={"n": "num_combinations"})


class _Told:
    """Tells what goes on, and as share done that of the scenarios, and of what the pairs of one may spend.

    before: scenarios done.
    """

    def __init__(self, context: Context, num_scenarios: int) -> None:
        self.context, self.num_scenarios, self.before = context, num_scenarios, 0

    def attempt(self, scenario: str, attempt: int, left: int, pairs: int, done: float) -> None:
        self.context.say(f"{scenario}: attempt {attempt + 1}, {left} of {pairs} pairs without a path")
        self.context.share((self.before + done) / self.num_scenarios)


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
        "by_tree": paths.by_tree,
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
