"""Figures and tables of margins (mickisch2020)."""

from . import estimators, factors, images, tables, training

FIGURES = (*training.FIGURES, *images.FIGURES, *estimators.FIGURES, *factors.FIGURES, *tables.FIGURES)
