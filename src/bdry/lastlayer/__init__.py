"""The last layer of a network against the linear SVMs on its features: solvers, metrics, training to the limit.

Paper: Li, Ding, Gao 2018, On the Decision Boundary of Deep Neural Networks (arXiv 1808.05385). Features are
(N, d), of whole splits in evaluation mode. Mistakes are ValueErrors.
"""

from .bias import bias_position, bias_rows, fresh_last_layer, rescaled
from .comparators import hard_one_vs_rest, paper_comparator, soft_margin_svm
from .descent import METHODS, Checkpoint, TrainingRecipe, continue_last_layer, retrain_last_layer
from .layer import LastLayer, angle_degrees, last_layer
from .metrics import Views, convergence_rows, grid_points, rate_fit
from .svm import SOLVERS, SvmSolution, hard_margin_svm

__all__ = [
    "METHODS",
    "SOLVERS",
    "Checkpoint",
    "LastLayer",
    "SvmSolution",
    "TrainingRecipe",
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
    "retrain_last_layer",
    "soft_margin_svm",
]
