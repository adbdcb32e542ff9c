"""The last layer of a network against the linear SVMs on its features: solvers, metrics, training to the limit.

Paper: Li, Ding, Gao 2018, On the Decision Boundary of Deep Neural Networks (arXiv 1808.05385); what is known of it is
in docs/papers/li2018.md. Features are what `Classifier.features` gives, (N, d), of whole splits in evaluation mode.
"""

from .angles import angle_degrees
from .bias import bias_position, bias_rows, fresh_last_layer, rescaled
from .comparators import hard_one_vs_rest, paper_comparator, soft_margin_svm
from .descent import METHODS, Checkpoint, continue_last_layer
from .grid import grid_points
from .layer import LastLayer, last_layer
from .metrics import Views, convergence_rows
from .rates import rate_fit
from .svm import SOLVERS, SvmSolution, hard_margin_svm

__all__ = [
    "METHODS",
    "SOLVERS",
    "Checkpoint",
    "LastLayer",
    "SvmSolution",
    "Views",
    "angle_degrees",
    "bias_position",
    "bias_rows",
    "continue_last_layer",
    "convergence_rows",
    "fresh_last_layer",
    "grid_points",
    "hard_margin_svm",
    "hard_one_vs_rest",
    "last_layer",
    "paper_comparator",
    "rate_fit",
    "rescaled",
    "soft_margin_svm",
]
