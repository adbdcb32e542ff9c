"""How the decision boundary bends near images (fawzi2017, section 3)."""
