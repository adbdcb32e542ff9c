"""Classifiers: normalisation first, then features, then a linear head."""

from ..registry import import_siblings
from .classifier import ARCHITECTURES, Classifier, Normalise, build_classifier
from .whole import head_of, split_at_head

import_siblings(__name__, __path__)

__all__ = ["ARCHITECTURES", "Classifier", "Normalise", "build_classifier", "head_of", "split_at_head"]
