"""Figures of generated borderline instances (karimi2020)."""

from . import closely, pairs

FIGURES = (*pairs.FIGURES, *closely.FIGURES)
