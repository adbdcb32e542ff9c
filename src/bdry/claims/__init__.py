"""Claims: each a sentence of a paper as a small function from tables to a verdict. One file a paper. No torch here."""

from ..registry import import_siblings
from ..selection import Evidence
from ..selection.claim import CLAIMS, Claim, claim, judge
from ..selection.verdicts import Verdict

import_siblings(__name__, __path__)

__all__ = ["CLAIMS", "Claim", "Evidence", "Verdict", "claim", "judge"]
