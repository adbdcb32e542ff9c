"""The distance from images to the decision boundary."""
