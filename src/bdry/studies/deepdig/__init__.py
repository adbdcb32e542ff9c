"""Generated instances on the boundary between pairs of classes (karimi2020)."""
