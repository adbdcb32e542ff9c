"""The figures of karimi2020, by stable names."""

from ..drawing import Drawing
from . import alpha, bisection, distance, embedding, idc, pairs, segments, strips, success

MEASURED = "runs measured by bdry deepdig or with probe=[deepdig]"
CLOSELY = f"{MEASURED}, num_detailed at least 1"

FIGURES = {
    "strips": Drawing(strips.draw, CLOSELY),
    "embedding": Drawing(embedding.draw, CLOSELY),
    "bisection": Drawing(bisection.draw, CLOSELY),
    "segments": Drawing(segments.draw, CLOSELY),
    "success": Drawing(success.draw, MEASURED),
    "idc": Drawing(idc.draw, MEASURED),
    "distance": Drawing(distance.draw, CLOSELY),
    "alpha": Drawing(alpha.draw, f"{CLOSELY} and further_alphas"),
    "pairs": Drawing(pairs.draw, MEASURED),
}
