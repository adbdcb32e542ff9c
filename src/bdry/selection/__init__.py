"""The rule which rows of which measurement count, and what verdicts are made of. No torch here."""

from .evidence import Evidence
from .rule import IDENTITY, PROBE, Ranking, Selection, Source, in_words, main_margins, passed_over, rank, select

__all__ = [
    "IDENTITY",
    "PROBE",
    "Evidence",
    "Ranking",
    "Selection",
    "Source",
    "in_words",
    "main_margins",
    "passed_over",
    "rank",
    "select",
]
