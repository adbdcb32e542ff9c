"""Figures of generated borderline instances (karimi2020)."""

from . import pairs, pictures, segments

FIGURES = (*pairs.FIGURES, *pictures.FIGURES, *segments.FIGURES)
