"""Classification regions: connectivity, curvature of their boundary, shared directions, detection of perturbations."""

from ..lazy import on_demand

__getattr__ = on_demand(__name__, dict.fromkeys(("boundary", "detection", "regions", "subspaces"), ""))
