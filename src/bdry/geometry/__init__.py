"""Classification regions: connectivity, curvature of their boundary, shared directions, detection of perturbations."""
