"""Tables of generated borderline instances and their characteristics."""

from ...runs.table import PIXELS, Array, Column, moment_arrays, moment_table

SOURCE = Column("source", "int", "s, the class of the images")
TARGET = Column("target", "int", "t, the class on the other side of the boundary")
METHOD = Column("method", "str", "generator: deepdig, real_ae1, rpbs, epbs, epbs_as_coded or margin_bisect")
ALPHA = Column("alpha", "float", "weight of the class term in stage I; nan where nothing is trained")

AE = moment_table(
    "ae",
    "`bdry deepdig`: one row an ordered pair, alpha and stage: the autoencoder from s to t (I) and back (II).",
    SOURCE,
    TARGET,
    ALPHA,
    Column("stage", "int", "1: from s to t; 2: from those outputs back to s"),
    Column("status", "str", "ok; no images (to train on); collapsed (after all restarts); nothing kept"),
    Column("class_term", "str", "bce or ce"),
    Column("lr", "float", "Adam's first rate"),
    Column("ae_steps", "int", "optimiser steps done"),
    Column("reconstruction_first", "float", "reconstruction term of the first batch", "nats a pixel"),
    Column("class_first", "float", "class term of the first batch", "nats"),
    Column("reconstruction_last", "float", "reconstruction term of the last batch", "nats a pixel"),
    Column("class_last", "float", "class term of the last batch", "nats"),
    Column("num_images", "int", "trained on"),
    Column("num_kept", "int", "of these, taken from the one class to the other"),
    Column("num_test", "int", "test images (stage I) or kept outputs of test images (II)"),
    Column("num_kept_test", "int", "of these, taken from the one class to the other"),
    Column("spread_in", "float", "mean pairwise l2 distance of the inputs", PIXELS),
    Column("spread_out", "float", "mean pairwise l2 distance of the outputs", PIXELS),
    Column("collapse_ratio", "float", "spread_out / spread_in"),
    Column("median_distance", "float", "l2 distance between input and output", PIXELS),
    Column("restarts", "int", "trainings from further seeds after collapses"),
)

AE_TRAINING = moment_table(
    "ae_training",
    "`bdry deepdig`: one row a logged step of an autoencoder: its two loss terms apart.",
    SOURCE,
    TARGET,
    ALPHA,
    Column("stage", "int", "1 or 2, as in ae"),
    Column("ae_step", "int", "the autoencoder's optimiser step, counted from 0"),
    Column("reconstruction", "float", "reconstruction term of the batch before the step", "nats a pixel"),
    Column("class_loss", "float", "class term of the batch before the step", "nats"),
)

_GENERATION = (
    SOURCE,
    TARGET,
    METHOD,
    ALPHA,
    Column("status", "str", "ok, or the stage that failed and why, as in `stage 1: collapsed`"),
    Column("num_correct", "int", "images of s predicted s; each has at most one segment"),
    Column("num_pairs", "int", "segments"),
    Column("coverage", "float", "num_pairs / num_correct"),
    Column("num_success", "int", "segments with a borderline instance"),
    Column("num_third", "int", "segments whose bisection fell into a third class"),
    Column("num_stalled", "int", "segments on which beta was not reached"),
    Column("success_rate", "float", "num_success / num_pairs"),
    Column("attempts_success", "float", "mean number of midpoints of the successes"),
    Column("attempts_failure", "float", "mean number of midpoints of the failures"),
    Column("attempts", "float", "mean number of midpoints"),
    Column("p_gap_max", "float", "largest |p_s - p_t| of the successes"),
    Column("p_gap_mean", "float", "mean |p_s - p_t| of the successes"),
    Column("p_sum_mean", "float", "mean p_s + p_t of the successes; 1: a pure two-class point"),
    Column("distance_mean", "float", "mean l2 distance of the successes to their source images", PIXELS),
    Column("distance_median", "float", "median of the same", PIXELS),
    Column("forwards", "int", "forward passes spent on images, without training"),
    Column("backwards", "int", "backward passes, likewise"),
    Column("spread", "float", "mean pairwise l2 distance of the successes", PIXELS),
    Column("divergence", "float", "1 - mean |cos| between differences of random pairs of successes"),
    Column("divergence_random", "float", "the same of normal points with the same deviation a coordinate"),
    Column(
        "num_common",
        "int",
        "source images for which deepdig, real_ae1 and margin_bisect, as far as measured, all succeeded",
    ),
    Column("distance_common", "float", "median l2 distance over these alone", PIXELS),
)

GENERATION = moment_table(
    "generation",
    "`bdry deepdig`: one row an ordered pair, generator and alpha: what became of its segments.",
    *_GENERATION,
)
GENERATION_TEST = moment_table("generation_test", "As `generation`, of instances made of test images.", *_GENERATION)

BISECTION = moment_table(
    "bisection",
    "`bdry deepdig`: one row an ordered pair, generator and midpoint number: how bisection converges.",
    SOURCE,
    TARGET,
    METHOD,
    Column("attempt", "int", "number of the midpoint, counted from 1"),
    Column("num_active", "int", "segments that needed it"),
    Column("gap_q25", "float", "lower quartile of |p_s - p_t| there"),
    Column("gap_median", "float", "median"),
    Column("gap_q75", "float", "upper quartile"),
)

_ERROR = "its standard error, clustered by start instance"

_IDC = (
    SOURCE,
    TARGET,
    METHOD,
    ALPHA,
    Column("grid", "int", "T, points a segment"),
    Column("partners", "int", "M, segments a start instance"),
    Column("gamma", "float", "hysteresis leaves out points with |p_s - p_t| at most this"),
    Column("num_points", "int", "borderline instances"),
    Column("num_starts", "int", "of these, starts of segments"),
    Column("num_segments", "int", "segments"),
    Column("idc", "float", "as coded: flips / T; not comparable between grids"),
    Column("idc_error", "float", _ERROR),
    Column("flips", "float", "label changes a segment; a plane has 0.5"),
    Column("flips_error", "float", _ERROR),
    Column("first_step", "float", "changes on the first step, away from an end on the boundary"),
    Column("first_step_error", "float", _ERROR),
    Column("interior", "float", "all other changes"),
    Column("interior_error", "float", _ERROR),
    Column("hysteresis", "float", "changes among decided points; a plane has 0"),
    Column("hysteresis_error", "float", _ERROR),
    Column("undecided", "float", "share of segments without a decided point"),
    Column("undecided_error", "float", _ERROR),
    Column("third_class", "float", "share of points predicted as neither s nor t"),
    Column("third_class_error", "float", _ERROR),
)

IDC = moment_table(
    "idc",
    "`bdry deepdig`: one row per ordered pair, generator, alpha and grid: label changes on segments between "
    "borderline instances.",
    *_IDC,
)
IDC_TEST = moment_table("idc_test", "As `idc`, of instances made of test images.", *_IDC)

_MEANS = _IDC[_IDC.index(next(column for column in _IDC if column.name == "idc")) :]
IDC_PAIRS = moment_table(
    "idc_pairs",
    "`bdry deepdig`: one row per pair and generator: means over both directions, at the main alpha and grid.",
    Column("source", "int", "one class"),
    Column("target", "int", "the other"),
    Column("instances", "str", "of which images: train or test"),
    METHOD,
    ALPHA,
    Column("grid", "int", "T, points a segment"),
    Column("num_starts", "int", "starts of segments, of both directions"),
    *_MEANS,
)

SCORES = moment_table(
    "scores",
    "`bdry deepdig`: one row a split and class: how good the classifier is.",
    Column("split", "str", "train or test, as far as it is measured"),
    Column("label", "int", "the class"),
    Column("num_images", "int", "images of the class"),
    Column("accuracy", "float", "share of them predicted as it (recall); nan without images"),
    Column("precision", "float", "share of the images predicted as it that are of it; 0 where there are none"),
    Column("f1", "float", "harmonic mean of both"),
    Column("overall", "float", "share of all the split's images that are predicted right"),
    Column("f1_macro", "float", "mean of f1 over classes"),
    Column("f1_weighted", "float", "mean of f1 over classes, weighted by their images"),
    Column("f1_micro", "float", "F1 over images: the same as overall"),
)

CONFUSION = moment_table(
    "confusion",
    "`bdry deepdig`: one row a split, true class and predicted class: the confusion matrix.",
    Column("split", "str", "train or test, as far as it is measured"),
    Column("label", "int", "the true class"),
    Column("predicted", "int", "the predicted class"),
    Column("num_images", "int", "images"),
)


EDC = moment_table(
    "edc",
    "`bdry deepdig`: one row a pair, plane and split: how features lie about two planes. Of both directions together, "
    "borderline instances of deepdig.",
    SOURCE,
    TARGET,
    Column("plane", "str", "svm: of the training features; own: the classifier's last layer"),
    Column("split", "str", "train; test; borderline: both directions; borderline_s, borderline_t: from s, from t"),
    Column("n", "int", "features"),
    Column("acc", "float", "share on their class's side; a borderline instance counts as its source class"),
    Column("err", "float", "1 - acc"),
    Column("D_all", "float", "mean distance to the plane", "feature units"),
    Column("N_all", "float", "D_all / (1 + D_all)"),
    Column("D_err", "float", "mean distance of those on the wrong side", "feature units"),
    Column("N_err", "float", "D_err / (1 + D_err)"),
    Column("d_mean", "float", "mean signed distance, above 0 on the side of t", "feature units"),
    Column("d_max", "float", "largest distance", "feature units"),
    Column("cos_to_own_plane", "float", "cosine between the plane's normal and the own plane's"),
    Column("offset", "float", "the plane's signed distance from the origin", "feature units"),
)

RUNTIME = moment_table(
    "runtime",
    "`bdry deepdig`: one row a stage of the measurement; timings, hence never twice the same.",
    Column("stage", "str", "autoencoders, a generator, idc or edc"),
    Column("num_pairs", "int", "ordered pairs"),
    Column("seconds", "float", "spent on all of them", "s"),
    Column("forwards", "int", "forward passes of the classifier"),
    Column("peak_memory", "float", "most memory held up to its end, of the GPU's allocator or the process", "MiB"),
)

_IMAGE = ("channel", "row", "column")

_INSTANCES = (
    Array("method", ("segment",), "str", "generator"),
    Array("source", ("segment",), "int", "s, the class of the image"),
    Array("target", ("segment",), "int", "t, the class on the other side"),
    Array("index", ("segment",), "int", "the image's position in the official split"),
    Array("outcome", ("segment",), "int", "how the bisection ended"),
    Array("attempts", ("segment",), "int", "midpoints tried"),
    Array("p_source", ("segment",), "float", "probability of s"),
    Array("p_target", ("segment",), "float", "probability of t"),
    Array("p_low", ("segment", "two"), "float", "probabilities of s and t at the bracket's last end on s's side"),
    Array("p_high", ("segment", "two"), "float", "probabilities of s and t at the bracket's last end on t's side"),
    Array("logit_source", ("segment",), "float", "logit of s"),
    Array("logit_target", ("segment",), "float", "logit of t"),
    Array("distance", ("segment",), "float", "l2 distance to the source image", PIXELS),
    Array("saved", ("segment",), "bool", "whether image and features have the row"),
    Array("image", ("saved", *_IMAGE), "float", "the instance", PIXELS),
    Array("features", ("saved", "feature"), "float", "its features"),
)
BORDERLINE = moment_arrays(
    "borderline", "`bdry deepdig`: the generated instances, a row for each segment.", *_INSTANCES
)
BORDERLINE_TEST = moment_arrays("borderline_test", "As `borderline`, of instances made of test images.", *_INSTANCES)

PICTURES = moment_arrays(
    "pictures",
    "`bdry deepdig`: the pairs looked at closely.",
    Array("strips {source}-{target} image", ("image", *_IMAGE), "float", "source images", PIXELS),
    Array("strips {source}-{target} {method} on_target", ("shown", *_IMAGE), "float", "ends on t's side", PIXELS),
    Array("strips {source}-{target} {method} on_source", ("shown", *_IMAGE), "float", "ends on s's side", PIXELS),
    Array("strips {source}-{target} {method} point", ("shown", *_IMAGE), "float", "instances", PIXELS),
    Array("strips {source}-{target} {method} p", ("shown", "two"), "float", "probabilities of s and t"),
    Array("strips {source}-{target} {method} distance", ("shown",), "float", "to the source image", PIXELS),
    Array("strips {source}-{target} {method} success", ("shown",), "bool", "whether it is borderline"),
    Array("strips {source}-{target} {method} rows", ("shown",), "int", "which of the source images these are"),
    Array("distances {source}-{target} {method}", ("instance",), "float", "to the source images", PIXELS),
    Array("profiles {source}-{target} label", ("segment", "point"), "int", "labels along segments"),
    Array("profiles {source}-{target} p_source", ("segment", "point"), "float", "probability of s"),
    Array("profiles {source}-{target} p_target", ("segment", "point"), "float", "probability of t"),
    Array("profiles {source}-{target} length", ("segment",), "float", "l2 length of the segments", PIXELS),
    Array("embedding {source}-{target} {split} is_target", ("instance",), "bool", "of class t"),
    Array("embedding {source}-{target} svm", ("coefficient",), "float", "line of the SVM's plane"),
    Array("embedding {source}-{target} own", ("coefficient",), "float", "line of the last layer's plane"),
    Array("embedding {source}-{target} {split}", ("instance", "two"), "float", "features of a split"),
)
