"""What a plug-in declares when bdry starts: the settings of its options and its tables. No torch here."""

from . import schema, tables

__all__ = ["schema", "tables"]
