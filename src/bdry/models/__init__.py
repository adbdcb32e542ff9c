"""Classifiers: normalisation first, then features, then a linear head; one architecture a file."""

from ..registry import import_siblings
from .classifier import ARCHITECTURES, Classifier, build_classifier

import_siblings(__name__, __path__)

__all__ = ["ARCHITECTURES", "Classifier", "build_classifier"]
