"""The figures of li2018, by stable names."""

from ..drawing import Drawing
from . import bias, convergence, maps, margins, overlap, solver

SVM = "runs with probe=[svm], or measured by bdry svm run=<run>"

FIGURES = {
    "convergence": Drawing(convergence.draw, f"{SVM}, at moments with separable features"),
    "slowness": Drawing(convergence.draw_slowness, f"{SVM}, at moments with separable features"),
    "maps": Drawing(maps.draw, f"{SVM}, with arch.feature_dim=2 or a two-dimensional toy"),
    "bias": Drawing(bias.draw, "bdry svm run=<run> study=bias"),
    "overlap": Drawing(overlap.draw, f"{SVM}, at moments with separable features"),
    "margin_histograms": Drawing(margins.draw_histograms, f"{SVM}, ending with separable features"),
    "solver": Drawing(solver.draw, SVM),
    "pair_angles": Drawing(margins.draw_pair_angles, f"{SVM}, of three classes or more, ending separable"),
}
