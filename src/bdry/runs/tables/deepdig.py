"""Tables of generated borderline instances and their characteristics (docs/papers/karimi2020.md)."""

from .table import EPOCH, PIXELS, STEP, Column, Table

SOURCE = Column("source", "int", "s, the class of the images")
TARGET = Column("target", "int", "t, the class on the other side of the boundary")
METHOD = Column("method", "str", "generator: deepdig, real_ae1, rpbs, epbs, epbs_as_coded or margin_bisect")
ALPHA = Column("alpha", "float", "weight of the class term in stage I; nan where nothing is trained")

AE = Table(
    "ae",
    "`bdry deepdig`: one row an ordered pair, alpha and stage: the autoencoder from s to t (I) and back (II).",
    (
        STEP,
        EPOCH,
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
    ),
)

AE_TRAINING = Table(
    "ae_training",
    "`bdry deepdig`: one row a logged step of an autoencoder: its two loss terms apart.",
    (
        STEP,
        EPOCH,
        SOURCE,
        TARGET,
        ALPHA,
        Column("stage", "int", "1 or 2, as in ae"),
        Column("ae_step", "int", "the autoencoder's optimiser step, counted from 0"),
        Column("reconstruction", "float", "reconstruction term of the batch before the step", "nats a pixel"),
        Column("class_loss", "float", "class term of the batch before the step", "nats"),
    ),
)

GENERATION = Table(
    "generation",
    "`bdry deepdig`: one row an ordered pair, generator and alpha: what became of its segments.",
    (
        STEP,
        EPOCH,
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
    ),
)

BISECTION = Table(
    "bisection",
    "`bdry deepdig`: one row an ordered pair, generator and midpoint number: how bisection converges.",
    (
        STEP,
        EPOCH,
        SOURCE,
        TARGET,
        METHOD,
        Column("attempt", "int", "number of the midpoint, counted from 1"),
        Column("num_active", "int", "segments that needed it"),
        Column("gap_q25", "float", "lower quartile of |p_s - p_t| there"),
        Column("gap_median", "float", "median"),
        Column("gap_q75", "float", "upper quartile"),
    ),
)

_ERROR = "its standard error, clustered by start instance"

IDC = Table(
    "idc",
    "`bdry deepdig`: one row an ordered pair, generator, alpha and grid: label changes on segments between borderline"
    " instances.",
    (
        STEP,
        EPOCH,
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
    ),
)

EDC = Table(
    "edc",
    "`bdry deepdig`: one row a pair, plane and split: how features lie about two planes. Of both directions together,"
    " borderline instances of deepdig.",
    (
        STEP,
        EPOCH,
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
    ),
)

RUNTIME = Table(
    "runtime",
    "`bdry deepdig`: one row a stage of the measurement; timings, hence never twice the same.",
    (
        STEP,
        EPOCH,
        Column("stage", "str", "autoencoders, a generator, idc or edc"),
        Column("num_pairs", "int", "ordered pairs"),
        Column("seconds", "float", "spent on all of them", "s"),
        Column("forwards", "int", "forward passes of the classifier"),
    ),
)
