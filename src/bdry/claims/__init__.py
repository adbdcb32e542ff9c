"""Claims: each a sentence of a paper as a small function from tables to a verdict. No torch here."""

from ..registry import import_siblings
from .claim import CLAIMS, Claim, Verdict, claim, judge
from .evidence import Evidence
from .intervals import Estimate

import_siblings(__name__, __path__)

__all__ = ["CLAIMS", "Claim", "Estimate", "Evidence", "Verdict", "claim", "judge"]
