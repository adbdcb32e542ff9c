"""Directions along which the boundary is curved at many images (fawzi2017, section 4)."""
