"""Runs as one self-contained HTML page, from their tables and arrays alone. No torch here."""

from .explorer import Explorer, Originals, explore
from .figures import Panel, forest_panel, panels
from .origins import Origin, origin
from .page import Paper, page

__all__ = ["Explorer", "Origin", "Originals", "Panel", "Paper", "explore", "forest_panel", "origin", "page", "panels"]
