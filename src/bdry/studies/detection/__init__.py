"""Perturbed images told from natural ones."""
