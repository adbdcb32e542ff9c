"""Perturbed images told from natural ones by the boundary's curvature (fawzi2017, section 5)."""
