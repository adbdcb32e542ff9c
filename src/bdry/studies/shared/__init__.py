"""Curved directions that images share."""
