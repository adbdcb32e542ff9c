"""Tables and arrays of margins."""

from ...runs.table import PIXELS, Array, Column, moment_arrays, moment_table

MARGINS = moment_table(
    "margins",
    "One row an image, norm and box at a moment: its distance to the decision boundary.",
    Column("split", "str", "train or test"),
    Column("index", "int", "the image's position in the official split"),
    Column("label", "int", "its class"),
    Column("predicted", "int", "the class predicted for it, from which the margin is measured"),
    Column("correct", "bool", "whether they agree"),
    Column("confidence", "float", "softmax probability of the predicted class", is_share=True),
    Column("logit_gap", "float", "largest logit minus the second largest"),
    Column("norm", "str", "l2 or linf"),
    Column("clipped", "bool", "0: distance in R^d; 1: inside the [0, 1] box"),
    Column("estimator", "str", "the margin estimator"),
    Column("margin", "float", "distance to a point just beyond the boundary; nan where none was found", PIXELS),
    Column("lower_bound", "float", "certified lower bound of the distance; nan from most estimators", PIXELS),
    Column("margin_overshot", "float", "distance of the estimator's end point before bisection", PIXELS),
    Column("margin_relative", "float", "margin divided by the image's own norm"),
    Column("success", "bool", "whether a point beyond the boundary was found"),
    Column("boundary_class", "int", "the class beyond; -1 where none was found"),
    Column("iterations", "int", "the estimator's steps"),
    Column("forwards", "int", "forward passes spent on the image"),
    Column("backwards", "int", "backward passes spent on the image"),
)

MARGIN_SUMMARY = moment_table(
    "margin_summary",
    "The margins table in numbers: a row a moment, split, norm, box and subset.",
    Column("split", "str", "train or test"),
    Column("norm", "str", "l2 or linf"),
    Column("clipped", "bool", "as in margins"),
    Column("estimator", "str", "the margin estimator"),
    Column("subset", "str", "all images, the correct ones or the incorrect ones"),
    Column("num_images", "int", "images in the subset"),
    Column("num_success", "int", "images with a margin; the statistics are over these"),
    Column("success_rate", "float", "num_success / num_images"),
    Column("mean", "float", "mean margin", PIXELS),
    Column("median", "float", "median margin", PIXELS),
    Column("q25", "float", "lower quartile", PIXELS),
    Column("q75", "float", "upper quartile", PIXELS),
    Column("min", "float", "smallest margin", PIXELS),
    Column("mean_lower_bound", "float", "mean certified lower bound; nan where there is none", PIXELS),
    Column("mean_iterations", "float", "the estimator's steps an image"),
)

FIRST_ORDER = moment_table(
    "first_order",
    "`probe=[margin]`: one row an image and norm at a moment: the margin to first order, and what it is made of: "
    "log margin = log logit_gap - log gradient_norm.",
    Column("split", "str", "train or test"),
    Column("index", "int", "the image's position in the official split"),
    Column("label", "int", "its class"),
    Column("predicted", "int", "the class predicted for it"),
    Column("correct", "bool", "whether they agree"),
    Column("norm", "str", "l2 or linf"),
    Column("logit_gap", "float", "the predicted class's logit minus that of the class beyond"),
    Column("gradient_norm", "float", "dual norm of the gap's gradient at the image", "1 / pixel units"),
    Column(
        *("margin", "float", "logit_gap / gradient_norm; nan where no gap has a gradient", PIXELS),
        quotient_of=("logit_gap", "gradient_norm"),
    ),
    Column("boundary_class", "int", "the class whose linearised boundary is nearest"),
)

ESTIMATOR_CHECK = moment_table(
    "estimator_check",
    "`bdry margin check=[...]`: one row an image, norm, box and estimator: the same margins by several estimators.",
    Column("split", "str", "train or test"),
    Column("index", "int", "the image's position in the official split"),
    Column("norm", "str", "l2 or linf"),
    Column("clipped", "bool", "as in margins"),
    Column("estimator", "str", "the margin estimator; the measurement's own comes first"),
    Column("margin", "float", "distance to the point that it found; nan where it found none", PIXELS),
    Column("best_known", "float", "smallest of these margins over the estimators", PIXELS),
    Column("ratio", "float", "margin / best_known; nan where it found none"),
)

BATCHES = moment_table(
    "batches",
    "Every measurement: one row per piece of its work, a batch of images or a whole moment, written after the "
    "piece's rows in the other tables; a killed measurement goes on after the last. Timings, hence never twice "
    "the same.",
    Column("part", "str", "the split that the images are of; all: the whole moment; points: boundary points kept"),
    Column("size", "int", "images in the batch, fewer where memory ran out; 1 for a whole moment"),
    Column("rows", "str", "rows of each table by then, as in `margins=80 estimator_check=160`"),
    Column("seconds", "float", "measuring it", "s"),
)

_IMAGE = ("channel", "row", "column")

POINTS = moment_arrays(
    "points",
    "`bdry margin keep_points=<n>`: boundary points of some images, one for each norm, box and estimator.",
    Array("split", ("point",), "str", "train or test"),
    Array("norm", ("point",), "str", "l2 or linf"),
    Array("clipped", ("point",), "bool", "whether the point is inside the [0, 1] box"),
    Array("estimator", ("point",), "str", "the margin estimator"),
    Array("index", ("point",), "int", "the image's position in the official split"),
    Array("label", ("point",), "int", "its class"),
    Array("margin", ("point",), "float", "distance of the point", PIXELS),
    Array("boundary_class", ("point",), "int", "the class beyond"),
    Array("image", ("point", *_IMAGE), "int", "the image, 0 to 255"),
    Array("point", ("point", *_IMAGE), "float", "the boundary point", PIXELS),
)
