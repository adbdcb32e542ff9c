"""DeepDIG: generated instances on the boundary between two classes, and the characteristics measured on them.

Karimi, Derr, Tang, "Characterizing the Decision Boundary of Deep Neural Networks" (arXiv 1912.11460).
"""

from ..names import AUTOENCODERS, GENERATORS
from .autoencoders import Autoencoder
from .components import Passed, Stage, Trained, pass_through, train_pairs
from .evaluation import ClassScores, class_scores, features_of, predict
from .generators import nearest_features
from .midpoints import OUTCOMES, Bisected, bisect
from .oscillation import Estimate, Oscillation, of_both, oscillation
from .pictures import Embedding, Profiles, principal_embedding, profiles
from .recipe import Pair, Recipe, both_directions, checked_pairs
from .result import Borderline, PairImages, common_sources, summary
from .separability import Features, Plane, own_plane, separability, svm_plane
from .spread import boundary_divergence, spread

__all__ = [
    "AUTOENCODERS",
    "GENERATORS",
    "OUTCOMES",
    "Autoencoder",
    "Bisected",
    "Borderline",
    "ClassScores",
    "Embedding",
    "Estimate",
    "Features",
    "Oscillation",
    "Pair",
    "PairImages",
    "Passed",
    "Plane",
    "Profiles",
    "Recipe",
    "Stage",
    "Trained",
    "bisect",
    "both_directions",
    "boundary_divergence",
    "checked_pairs",
    "class_scores",
    "common_sources",
    "features_of",
    "nearest_features",
    "of_both",
    "oscillation",
    "own_plane",
    "pass_through",
    "predict",
    "principal_embedding",
    "profiles",
    "separability",
    "spread",
    "summary",
    "svm_plane",
    "train_pairs",
]
