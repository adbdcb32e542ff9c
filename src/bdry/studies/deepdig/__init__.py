"""Generated borderline instances between classes."""
