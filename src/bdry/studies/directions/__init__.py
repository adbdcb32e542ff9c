"""The distance to the boundary along random directions."""
