"""The last layer against the linear SVMs on its features."""
