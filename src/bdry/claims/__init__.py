"""Claims: each a sentence of a paper as a small function from tables to a verdict. One file a paper. No torch here."""

from ..registry import import_siblings
from ..selection import Evidence
from ..selection.intervals import Estimate
from ..selection.verdicts import CLAIMS, Claim, Verdict, claim, judge

import_siblings(__name__, __path__)

__all__ = ["CLAIMS", "Claim", "Estimate", "Evidence", "Verdict", "claim", "judge"]
