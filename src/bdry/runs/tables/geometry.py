"""Tables of classification regions: paths inside them, their convexity, points of their boundary, its curvature.

docs/papers/fawzi2017.md, Connectivity and Curvature; those of shared directions and of detection are in `detection`.
"""

from .table import EPOCH, PIXELS, STEP, Column, Table

CURVATURE = "1 / pixel units of [0, 1]"
SPLIT = Column("split", "str", "train or test")
INDEX = Column("index", "int", "the image's position in the official split")
FAMILY = Column(
    "family", "str", "how the boundary point was chosen: nearest_refined, deepfool_end, nat_segment or random_dir"
)
METHOD = Column("method", "str", "how curvature was measured: ad, geometric, softplus_swap, smoothed or fd")
SCALE = Column(
    "scale", "float", "t of geometric, beta of softplus_swap, sigma of smoothed, h of fd; nan of ad, which is exact"
)

PATHS = Table(
    "paths",
    "`bdry regions`: one row a scenario and pair of points: was a path found inside the region of their label?",
    (
        STEP,
        EPOCH,
        SPLIT,
        Column(
            "scenario", "str", "natural: two images; perturbed, random: an image and a point brought into its region"
        ),
        Column("pair", "int", "number of the pair in its scenario"),
        Column("label", "int", "the class predicted for the first, whose region it is"),
        Column("index1", "int", "the first image's position in the official split"),
        Column("index2", "int", "that of the image which the second comes from; -1 for a random point"),
        Column(
            "in_region", "bool", "whether the second could be brought into the region; no path is looked for if not"
        ),
        Column("distance", "float", "l2 distance between the two", PIXELS),
        Column("straight", "bool", "whether every sample of the segment between them has the label"),
        Column("found", "bool", "whether a path was found within the budget; 0 does not mean that there is none"),
        Column("num_anchors", "int", "points between the ends; -1 where none was found"),
        Column("depth", "int", "of the deepest bisection tried"),
        Column("relative_length", "float", "D(P): the path's length / distance; nan where none was found"),
        Column("label_checks", "int", "points whose label was looked up"),
        Column("projections", "int", "split points that had to be brought back into the region"),
        Column("attempts", "int", "searches begun; those after the first split at random points"),
        Column("spacing", "float", "largest distance between two samples of the path / distance"),
        Column("budget_hit", "bool", "not found, and the last attempt ended for its depth or number of segments"),
        Column("holds_finer", "float", "1: found, and right as well at recheck times the samples; nan: not looked at"),
    ),
)

CONVEXITY = Table(
    "convexity",
    "`bdry regions`: one row a number of images, law of weights and region: do their convex combinations stay inside?",
    (
        STEP,
        EPOCH,
        SPLIT,
        Column("k", "int", "different images of one predicted class that are combined"),
        Column("weight_law", "str", "dirichlet: uniform on the simplex; uniform: 1 / k each"),
        Column("region", "int", "the predicted class; -1 pools all that have k images, equally"),
        Column("num_combinations", "int", "combinations tried"),
        Column("hit_rate", "float", "share with the region's label"),
        Column("ci_low", "float", "lower end of its 95 % Wilson interval"),
        Column("ci_high", "float", "upper end"),
    ),
)

BOUNDARY = Table(
    "boundary",
    "`bdry curvature`: one row an image and family: a point of the boundary F = f_own - f_other = 0.",
    (
        STEP,
        EPOCH,
        SPLIT,
        INDEX,
        FAMILY,
        Column("label", "int", "the image's class"),
        Column("own", "int", "the class predicted for it"),
        Column("other", "int", "the class beyond the boundary; -1 where none was found"),
        Column("success", "bool", "whether a point with |F| below 1e-10, or rounding, was found"),
        Column("distance_found", "float", "l2 distance from the image before refinement", PIXELS),
        Column("distance", "float", "l2 distance of the point; nan where none was found", PIXELS),
        Column("value", "float", "F at the point"),
        Column("cosine", "float", "of image - point and the gradient of F: 1 at a nearest point"),
        Column("stationary", "bool", "whether it is above 0.999 (first-order condition), or the image on the boundary"),
        Column("top_two", "bool", "whether no third class is above the pair: it is on the classifier's boundary"),
        Column("iterations", "int", "gradients spent on refinement"),
        Column("gradient_norm", "float", "of F at the point", CURVATURE),
        Column(
            "kappa_min_times_distance",
            "float",
            "smallest curvature x distance: at least -1 at a nearest point (second-order condition)",
        ),
    ),
)

CURVATURE_SUMMARY = Table(
    "curvature_summary",
    "`bdry curvature`: one row an image, family and method: the boundary's principal curvatures at its point. "
    "Sign: F = f_own - f_other, positive where the boundary bends away from the image's side.",
    (
        STEP,
        EPOCH,
        SPLIT,
        INDEX,
        FAMILY,
        METHOD,
        SCALE,
        Column(
            "solver", "str", "dense: all d - 1; lanczos: both ends; section: those within a few directions; mean: none"
        ),
        Column("kmax", "float", "largest curvature", CURVATURE),
        Column("kmin", "float", "smallest", CURVATURE),
        Column("sum_pos", "float", "sum of the positive ones; nan unless dense", CURVATURE),
        Column("sum_neg", "float", "sum of the negative ones; nan unless dense", CURVATURE),
        Column("trace", "float", "sum of all; by random tangents unless dense", CURVATURE),
        Column("mean_kappa", "float", "mean curvature, trace / (d - 1)", CURVATURE),
        Column("mean_kappa_error", "float", "its standard error over the random tangents; 0 if dense", CURVATURE),
        Column("num_pos", "int", "directions with curvature above 1 % of the largest magnitude; -1 unless dense"),
        Column("num_neg", "int", "directions with curvature below minus that; -1 unless dense"),
        Column("frac_abs_lt_1pct", "float", "share of directions with |curvature| up to 1 % of the largest"),
        Column("frac_abs_lt_5pct", "float", "share up to 5 %"),
        Column("sym_defect", "float", "||H - H^T|| / ||H|| before H is symmetrised; nan unless dense"),
        Column("affine", "bool", "whether F is affine: all curvatures are 0 since nothing bends"),
        Column("kinks", "str", "kinds of layers whose bending second derivatives do not see, or none"),
        Column("accuracy", "float", "on the images measured, of the network measured (softplus_swap: the swapped one)"),
    ),
)

CURVATURE_PROFILE = Table(
    "curvature_profile",
    "`bdry curvature`: one row a family, method and rank: principal curvatures at that rank over points. Dense only.",
    (
        STEP,
        EPOCH,
        SPLIT,
        FAMILY,
        METHOD,
        SCALE,
        Column("rank", "int", "1 is the largest curvature, d - 1 the smallest"),
        Column("mean", "float", "mean over points", CURVATURE),
        Column("q10", "float", "10 % quantile", CURVATURE),
        Column("q50", "float", "median", CURVATURE),
        Column("q90", "float", "90 % quantile", CURVATURE),
        Column("num_points", "int", "points"),
    ),
)

TANGENT_SIDES = Table(
    "tangent_sides",
    "`bdry curvature`: one row an image, family and distance t: on which side of the boundary its tangent plane lies. "
    "Needs no sign convention and no derivative but the normal.",
    (
        STEP,
        EPOCH,
        SPLIT,
        INDEX,
        FAMILY,
        Column("t", "float", "distance from the boundary point along the tangents", PIXELS),
        Column("num_directions", "int", "random tangents, each looked at on both sides"),
        Column("share_own_side", "float", "share of these points on the own side, F > 0; on the boundary: half"),
        Column("mean_kappa", "float", "mean of -2 s / t^2 with s the boundary's height there", CURVATURE),
        Column("mean_kappa_error", "float", "its standard error over the directions", CURVATURE),
        Column("share_found", "float", "share of directions along which a height was found on both sides"),
    ),
)
