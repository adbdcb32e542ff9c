"""Accuracy under noise."""
