"""Perturbations within a given budget."""

from .pgd import AttackResult, pgd, robust_accuracy

__all__ = ["AttackResult", "pgd", "robust_accuracy"]
