"""Figures of the last layer against SVMs (li2018)."""

from . import convergence, layers

FIGURES = (*convergence.FIGURES, *layers.FIGURES)
