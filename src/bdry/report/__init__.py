"""Figures and result tables, from the tables of runs alone. No torch here."""

from .figures import FIGURES, draw_figures
from .results import results

__all__ = ["FIGURES", "draw_figures", "results"]
