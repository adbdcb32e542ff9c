"""How far images are from the decision boundary (mickisch2020)."""
