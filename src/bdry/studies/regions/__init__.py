"""Classification regions: paths inside them, and how convex they are."""
