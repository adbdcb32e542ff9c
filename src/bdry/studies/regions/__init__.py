"""Paths inside classification regions, and how convex these are (fawzi2017, section 2)."""
