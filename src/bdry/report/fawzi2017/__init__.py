"""The figures of fawzi2017, by stable names."""

from ..drawing import Drawing
from . import (
    convexity,
    detection,
    directions,
    families,
    filmstrips,
    over_training,
    paths,
    profile,
    sections,
    sensitivity,
    shared,
)

REGIONS = "runs measured by bdry regions run=<run>, or with probe=[regions]"
CURVATURE = "runs measured by bdry curvature run=<run>, or with probe=[curvature]"
SHARED = "runs measured by bdry shared run=<run>, or with probe=[shared]"
DETECT = "runs measured by bdry detect run=<run>, or with probe=[detect]"

FIGURES = {
    "filmstrips": Drawing(filmstrips.draw, REGIONS),
    "paths": Drawing(paths.draw, REGIONS),
    "convexity": Drawing(convexity.draw, REGIONS),
    "profile": Drawing(profile.draw, f"{CURVATURE}, smooth or by methods=[softplus_swap]"),
    "sections": Drawing(sections.draw, CURVATURE),
    "families": Drawing(families.draw, CURVATURE),
    "sensitivity": Drawing(
        sensitivity.draw, "bdry curvature run=<run> methods=[softplus_swap,fd] betas=[5,30] steps=[1,10]"
    ),
    "shared_rho": Drawing(shared.draw_rho, SHARED),
    "shared_directions": Drawing(directions.draw, SHARED),
    "shared_energy": Drawing(shared.draw_energy, SHARED),
    "shared_noise": Drawing(shared.draw_noise, SHARED),
    "detect_signs": Drawing(detection.draw_signs, DETECT),
    "detect_roc": Drawing(detection.draw_roc, DETECT),
    "detect_recovery": Drawing(detection.draw_recovery, DETECT),
    "curvature_over_training": Drawing(
        over_training.draw_curvature, "main runs with probe=[curvature], or checkpoint=all"
    ),
    "regions_over_training": Drawing(over_training.draw_regions, "main runs with probe=[regions], or checkpoint=all"),
}
