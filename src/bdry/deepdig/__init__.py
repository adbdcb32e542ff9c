"""DeepDIG: generated instances on the boundary between two classes, and the characteristics measured on them.

Karimi, Derr, Tang, "Characterizing the Decision Boundary of Deep Neural Networks" (arXiv 1912.11460).
"""

from ..names import AUTOENCODERS, GENERATORS
from .autoencoders import Autoencoder
from .bisection import OUTCOMES, Bisected, bisect
from .components import Passed, Stage, Trained, features_of, pass_through, train_pairs
from .embedding import Embedding, principal_embedding
from .generators import nearest_features
from .oscillation import Estimate, Oscillation, oscillation
from .pairs import Pair, all_pairs, both_directions, checked_pairs
from .profile import Profiles, profiles
from .recipe import Recipe
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
    "all_pairs",
    "bisect",
    "both_directions",
    "boundary_divergence",
    "checked_pairs",
    "common_sources",
    "features_of",
    "nearest_features",
    "oscillation",
    "own_plane",
    "pass_through",
    "principal_embedding",
    "profiles",
    "separability",
    "spread",
    "summary",
    "svm_plane",
    "train_pairs",
]
