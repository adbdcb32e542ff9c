"""Tables of the last layer against the linear SVMs on its features, after arXiv 1808.05385."""

from ...runs.table import Array, Column, moment_arrays, moment_table

STAGE = Column(
    "stage",
    "str",
    "whole: the network as trained; of its last layer alone, features frozen: last_only (plain steps or the run's own "
    "optimiser), last_only_loss_scaled, accelerated",
)
FRESH = Column("fresh", "bool", "whether the stage began at a fresh last layer instead of the trained one")
RESCALED = Column("rescaled", "bool", "whether features were divided by their rms norm, which changes S1")
STAGE_STEP = Column("stage_step", "int", "steps of the last layer alone; 0 for stage=whole")
WEIGHTS = "norm of [W b], mean row removed"

SVM_CONVERGENCE = moment_table(
    "svm_convergence",
    "`bdry svm`: one row a moment, step of the last layer and SVM: how far the last layer is from it.",
    STAGE,
    FRESH,
    RESCALED,
    STAGE_STEP,
    Column("lr_sum", "float", "sum of the learning rates of those steps; nan where there is none"),
    Column("num_samples", "int", "training images whose features were taken"),
    Column("num_classes", "int", "K"),
    Column("feature_dim", "int", "d"),
    Column("dead_features", "int", "features that are the same for every sample"),
    Column("feature_rms", "float", "root mean square of the features' norms"),
    Column("nc1_within_between", "float", "trace of the scatter within classes / between them"),
    Column("train_loss_mean", "float", "mean cross-entropy of those images", "nats"),
    Column("n_times_loss", "float", "summed cross-entropy", "nats"),
    Column("log_n_times_loss", "float", "its logarithm, also where the sum is below the smallest number"),
    Column("train_acc", "float", "accuracy on those images"),
    Column("test_acc", "float", "accuracy on test images"),
    Column("w_norm_centred", "float", WEIGHTS),
    Column("bias_norm", "float", "norm of b, mean removed"),
    Column("gauge_norm", "float", "norm of the mean row of [W b], on which no prediction depends"),
    Column("smoothed_margin", "float", f"-log(exp(N loss) - 1) / {WEIGHTS}; nan until N loss < ln 2"),
    Column("variant", "str", "hard margin, bias penalised (S1), none (S2), free (S3); SVC, OvR, hard OvR, soft S1"),
    Column("solver", "str", "what found it"),
    Column("C", "float", "what a library was called with; nan: nothing"),
    Column("tol", "float", "likewise"),
    Column("separable", "bool", "whether a separating layer was found; status says whether there can be one"),
    Column(
        "status",
        "str",
        "solved: within the gap asked for; not separable: proven; unresolved: neither, within the work "
        "allowed; comparator: not a certified SVM",
    ),
    Column("converged", "bool", "whether the solution is within the gap asked for"),
    Column("svm_min_margin", "float", "smallest pair margin, 1 for a hard margin"),
    Column("svm_upper", "float", "proven bound on the margin / norm of any layer; nan for comparators"),
    Column("svm_gap", "float", "1 - margin / that bound; nan for comparators"),
    Column("svm_work", "float", "what solving took, as counted; nan for comparators", "1e9 operations"),
    Column("svm_test_acc", "float", "the SVM's own accuracy on test images"),
    Column("svm_norm", "float", "norm of its [W b]; of hard margins that of the solution with margin 1"),
    Column(
        "svm_to_s1_full_deg",
        "float",
        "angle between this SVM's centred [W b] and S1's; a comparator near S1 cannot be told from it",
        "degrees",
    ),
    Column("svm_to_s1_w_deg", "float", "of W alone", "degrees"),
    Column("n_sv", "int", "samples with a multiplier above 0"),
    Column("n_sv_pairs", "int", "pairs of sample and other class with one"),
    Column("angle_full_deg", "float", "angle between the centred [W b] of layer and SVM", "degrees"),
    Column("angle_w_deg", "float", "of W alone", "degrees"),
    Column("pair_angle_median_deg", "float", "median over class pairs of that of w_i - w_j", "degrees"),
    Column("pair_angle_max_deg", "float", "largest", "degrees"),
    Column("margin_nn", "float", "smallest pair margin / norm of the layer (of W where the SVM's bias is free)"),
    Column("margin_svm", "float", "of the SVM"),
    Column("margin_ratio", "float", "rho: their ratio, at most 1 against a hard margin; nan where that has none"),
    Column("cos_ge_ratio", "bool", "cos(angle) >= rho, which every hard margin must satisfy"),
    Column("grad_alignment", "float", "cosine of the layer and the negative gradient of its loss"),
    Column("kkt_residual", "float", "relative distance to a KKT point of the margin problem; nan: not separating"),
    Column("agree_train", "float", "share of training images with the same label by layer and SVM"),
    Column("agree_test", "float", "of test images"),
    Column("agree_grid", "float", "of points spread over the feature space"),
    Column("jaccard_margin", "float", "overlap of the support vectors with as many samples of lowest margin"),
    Column("jaccard_loss", "float", "with as many of highest loss"),
    Column("jaccard_pairs", "float", "of the support pairs with as many pairs of lowest margin"),
)

SVM_BIAS = moment_table(
    "svm_bias",
    "`bdry svm`: one row a moment, step of the last layer and pair of classes that support S3 on both sides: where "
    "the boundary stands between them. 0: at the farthest sample of class_j, 1: at that of class_i, 0.5: midway.",
    STAGE,
    FRESH,
    RESCALED,
    STAGE_STEP,
    Column("class_i", "int", "first class"),
    Column("class_j", "int", "second class"),
    Column("beta_nn", "float", "the layer's position"),
    Column("beta_s1", "float", "that of the SVM with penalised bias"),
    Column("beta_s3", "float", "that of the SVM with free bias; 0.5 for two classes"),
    Column("status_s1", "str", "status of S1: solved, or unresolved, when beta_s1 is of the best layer found"),
    Column("status_s3", "str", "of S3"),
    Column("offset_nn", "float", "distance of the layer's boundary from the origin", "of the features"),
    Column("offset_s3", "float", "of S3's", "of the features"),
    Column("bias_diff", "float", "offset_nn - offset_s3", "of the features"),
)

SVM_RATE_FIT = moment_table(
    "svm_rate_fit",
    "`bdry svm`: one row a moment and stage with frozen features: rates over the later half of its checkpoints.",
    STAGE,
    FRESH,
    RESCALED,
    Column("variant", "str", "the SVM that angles are to"),
    Column("num_checkpoints", "int", "of the stage, after its first"),
    Column("c_theta", "float", "c of angle = c / norm", "degrees"),
    Column("r2", "float", "of that fit"),
    Column("norm_per_log_step", "float", "slope of the layer's norm by the logarithm of the step"),
    Column("svm_norm", "float", "norm of the SVM with margin 1, to which that slope tends for gradient descent"),
    Column("log_loss_per_log_step", "float", "slope of log loss by log step; tends to -1 for gradient descent"),
)

SVM_TIMINGS = moment_table(
    "svm_timings",
    "`bdry svm`: one row a moment and SVM; timings, hence never twice the same.",
    RESCALED,
    Column("variant", "str", "the SVM"),
    Column("solver", "str", "what found it"),
    Column("svm_seconds", "float", "what solving took", "s"),
)

SVM = moment_arrays(
    "svm",
    "`bdry svm`: margins of all samples, angles of class pairs, and maps where there are two features or pixels.",
    Array("margins_nn", ("sample",), "float", "smallest pair margin / norm of the layer"),
    Array("margins_s1", ("sample",), "float", "the same of S1; not there where nothing separates"),
    Array("pair_angles", ("class", "class"), "float", "angles of w_i - w_j to S1's; nan on the diagonal", "degrees"),
    Array("feature_x", ("x",), "float", "grid of the first feature"),
    Array("feature_y", ("y",), "float", "grid of the second feature"),
    Array("feature_points", ("feature", "two"), "float", "features of samples, every n-th"),
    Array("feature_labels", ("feature",), "int", "their classes"),
    Array("feature_support", ("vector", "two"), "float", "support vectors of S1"),
    Array("feature_{map}", ("y", "x"), "int", "labels by the layer (nn) or an SVM, a row for each y"),
    Array("input_axis", ("pixel",), "float", "grid of both pixels"),
    Array("input_points", ("image", "two"), "float", "images, every n-th"),
    Array("input_labels", ("image",), "int", "their classes"),
    Array("input_{map}", ("pixel", "pixel"), "int", "labels by the network (nn), s1 or the SVM of the pixels (svm)"),
)
