"""Margins: the distance from images to the decision boundary."""
