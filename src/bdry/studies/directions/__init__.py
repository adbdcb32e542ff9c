"""How far the decision boundary is along random directions (mickisch2020)."""
