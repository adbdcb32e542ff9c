"""Tables and arrays of boundary points and the curvature of the boundary there."""

from ...runs.table import PIXELS, Array, Column, moment_arrays, moment_table

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

BOUNDARY = moment_table(
    "boundary",
    "`bdry curvature`: one row an image and family: a point of the boundary F = f_own - f_other = 0.",
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
)

CURVATURE_SUMMARY = moment_table(
    "curvature_summary",
    "`bdry curvature`: one row an image, family and method: the boundary's principal curvatures at its point. "
    "Sign: F = f_own - f_other, positive where the boundary bends away from the image's side.",
    SPLIT,
    INDEX,
    FAMILY,
    METHOD,
    SCALE,
    Column("solver", "str", "dense: all d - 1; lanczos: both ends; section: those within a few directions; mean: none"),
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
)

CURVATURE_PROFILE = moment_table(
    "curvature_profile",
    "`bdry curvature`: one row a family, method and rank: principal curvatures at that rank over points. Dense only.",
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
)

TANGENT_SIDES = moment_table(
    "tangent_sides",
    "`bdry curvature`: one row an image, family and distance t: on which side of the boundary its tangent plane "
    "lies. Needs no sign convention and no derivative but the normal.",
    SPLIT,
    INDEX,
    FAMILY,
    Column("t", "float", "distance from the boundary point along the tangents", PIXELS),
    Column("num_directions", "int", "random tangents, each looked at on both sides"),
    Column("share_own_side", "float", "share of these points on the own side, F > 0; on the boundary: half"),
    Column("mean_kappa", "float", "mean of -2 s / t^2 with s the boundary's height there", CURVATURE),
    Column("mean_kappa_error", "float", "its standard error over the directions", CURVATURE),
    Column("share_found", "float", "share of directions along which a height was found on both sides"),
)

CURVATURE_SPECTRUM = moment_arrays(
    "curvature_spectrum",
    "`bdry curvature`: principal curvatures of each point where all are known.",
    Array("{family}-{method}-{scale}-index", ("point",), "int", "the images' positions in the official split"),
    Array("{family}-{method}-{scale}", ("point", "rank"), "float", "curvatures, the largest first", CURVATURE),
)

CURVATURE_SECTIONS = moment_arrays(
    "curvature_sections",
    "`bdry curvature`: labels in planes of the normal and a tangent, at points of the first family.",
    Array("index", ("point",), "int", "the images' positions in the official split"),
    Array("own", ("point",), "int", "the class predicted for the image"),
    Array("other", ("point",), "int", "the class beyond the boundary"),
    Array("axis", ("side",), "float", "both coordinates in the plane", PIXELS),
    Array("max", ("point", "side", "side"), "int", "labels in the plane of the most curved tangent"),
    Array("min", ("point", "side", "side"), "int", "labels in that of the least curved tangent"),
    Array("random", ("point", "side", "side"), "int", "labels in that of a random tangent"),
    Array("kmax", ("point",), "float", "largest curvature", CURVATURE),
    Array("kmin", ("point",), "float", "smallest curvature", CURVATURE),
    Array("distance", ("point",), "float", "t of geometric curvature; nan where they are those at the point", PIXELS),
)
