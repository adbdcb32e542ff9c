"""Figures and tables of margins (mickisch2020)."""

from . import estimators, images, tables, training

FIGURES = (*training.FIGURES, *images.FIGURES, *estimators.FIGURES, *tables.FIGURES)
