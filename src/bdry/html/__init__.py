"""Runs as one self-contained HTML page, from their tables and arrays alone. No torch here."""

from .explorer import Explorer, Originals, explore
from .figures import Panel, panels
from .origins import Origin, origin
from .page import Paper, page

__all__ = ["Explorer", "Origin", "Originals", "Panel", "Paper", "explore", "origin", "page", "panels"]
