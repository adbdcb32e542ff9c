"""Tables and arrays of paths inside classification regions, and of their convexity."""

from ...runs.table import PIXELS, Array, Column, moment_arrays, moment_table

SPLIT = Column("split", "str", "train or test")

PATHS = moment_table(
    "paths",
    "`bdry regions`: one row a scenario and pair of points: was a path found inside the region of their label?",
    SPLIT,
    Column("scenario", "str", "natural: two images; perturbed, random: an image and a point brought into its region"),
    Column("pair", "int", "number of the pair in its scenario"),
    Column("label", "int", "the class predicted for the first, whose region it is"),
    Column("index1", "int", "the first image's position in the official split"),
    Column("index2", "int", "that of the image which the second comes from; -1 for a random point"),
    Column("in_region", "bool", "whether the second could be brought into the region; no path is looked for if not"),
    Column("distance", "float", "l2 distance between the two", PIXELS),
    Column("straight", "bool", "whether every sample of the segment between them has the label"),
    Column("found", "bool", "whether a path was found within the budget; 0 does not mean that there is none"),
    Column("by_tree", "bool", "whether trees grown from both ends found it, else the bisection"),
    Column("num_anchors", "int", "points between the ends; -1 where none was found"),
    Column("depth", "int", "of the deepest bisection tried"),
    Column("relative_length", "float", "D(P): the path's length / distance; nan where none was found"),
    Column("label_checks", "int", "points whose label was looked up"),
    Column("projections", "int", "split points that had to be brought back into the region"),
    Column("attempts", "int", "searches begun: at midpoints, then at random points and by growing trees in turn"),
    Column("spacing", "float", "largest distance between two samples of the path / distance"),
    Column("budget_hit", "bool", "not found, and the last attempt ended for its depth, segments or labels"),
    Column("holds_finer", "float", "1: found, and right as well at recheck times the samples; nan: not looked at"),
)

CONVEXITY = moment_table(
    "convexity",
    "`bdry regions`: one row a number of images, law of weights and region: do their convex combinations stay inside?",
    SPLIT,
    Column("k", "int", "different images of one predicted class that are combined"),
    Column("weight_law", "str", "dirichlet: uniform on the simplex; uniform: 1 / k each"),
    Column("region", "int", "the predicted class; -1 pools all that have k images, equally"),
    Column("num_combinations", "int", "combinations tried"),
    Column("hit_rate", "float", "share with the region's label"),
    Column("ci_low", "float", "lower end of its 95 % Wilson interval"),
    Column("ci_high", "float", "upper end"),
)

PATH_ANCHORS = moment_arrays(
    "paths",
    "`bdry regions`: the paths that are not straight.",
    Array("{scenario}-{pair}", ("anchor", "channel", "row", "column"), "float", "their points, both ends too", PIXELS),
)

FILMS = moment_arrays(
    "films",
    "`bdry regions`: the first paths found, as images along them.",
    Array("{scenario}-pair", ("film",), "int", "numbers of the pairs, as in table paths"),
    Array("{scenario}", ("film", "image", "channel", "row", "column"), "float", "the images", PIXELS),
)
