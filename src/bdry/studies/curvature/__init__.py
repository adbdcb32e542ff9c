"""Curvature of the decision boundary."""
