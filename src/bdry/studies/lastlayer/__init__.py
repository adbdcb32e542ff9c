"""The last layer against linear SVMs."""
