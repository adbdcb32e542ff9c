"""The margin: the distance from an image to the decision boundary. One estimator a file, one contract for all."""

from ..registry import import_siblings
from .result import ESTIMATORS, Estimator, MarginResult

import_siblings(__name__, __path__)

__all__ = ["ESTIMATORS", "Estimator", "MarginResult"]
