"""Perturbed images told by curvature."""
