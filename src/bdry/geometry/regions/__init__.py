"""The region of a class: paths inside it, how convex it is, and pairs of points to be joined."""

from ...names import SCENARIOS
from .connectivity import PathResult, find_paths, recheck
from .convexity import ALL_CLASSES, Convexity, TooFewImagesError, convex_combinations
from .paths import check_segments, filmstrip, path_length
from .projection import Projected, Projection, project_into
from .scenarios import Pairs
from .search import FINDERS, Budget

__all__ = [
    "ALL_CLASSES",
    "FINDERS",
    "SCENARIOS",
    "Budget",
    "Convexity",
    "Pairs",
    "PathResult",
    "Projected",
    "Projection",
    "TooFewImagesError",
    "check_segments",
    "convex_combinations",
    "filmstrip",
    "find_paths",
    "path_length",
    "project_into",
    "recheck",
]
