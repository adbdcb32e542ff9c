"""How the decision boundary bends."""
