"""`probe=[confidence]`: how sure is the classifier of its labels?"""

from dataclasses import dataclass

import pandas as pd

from bdry.core.measuring import logits_in_batches, measuring
from bdry.core.moment import Moment
from bdry.data import Dataset
from bdry.models import Classifier
from bdry.studies.probes import PROBES, Context, Measured

from .schema import Confidence


@PROBES.register("confidence")
@dataclass(frozen=True)
class ConfidenceProbe:
    """The largest probability of images, right or wrong."""

    context: Context
    settings: Confidence

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Table `confidence`: a row for each split."""
        rows = []
        with measuring(classifier):
            for name, split in dataset.splits().items():
                chosen = split.balanced(self.settings.num_images, self.context.data_seed)
                largest = logits_in_batches(classifier, chosen.pixels(), 500).softmax(1).amax(1)
                row = {"step": moment.step, "epoch": moment.epoch, "split": name, "num_images": len(chosen)}
                rows.append({**row, "mean": float(largest.mean()), "smallest": float(largest.min())})
        return Measured({"confidence": pd.DataFrame(rows)})
