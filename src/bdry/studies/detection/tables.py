"""Tables of the detection of perturbed images."""

from ...runs.table import Column, moment_table
from ..curvature.tables import CURVATURE

STATISTIC = Column(
    "statistic",
    "str",
    "sample_curvature: of the level sets through the image, over all classes; boundary_curvature: of the boundary at "
    "the image's boundary point. Sign: F = f_other - f_predicted, larger where the image looks perturbed",
)
SEEN_AT = Column(
    "family", "str", "how that boundary point was chosen, as in curvature_summary; image: taken at the image itself"
)
DIRECTIONS = Column("num_directions", "int", "T, random directions an image")
DIFFERENCE = Column("fd_step", "float", "step of second differences; nan of exact derivatives", "pixel units of [0, 1]")

DETECT_SCORES = moment_table(
    "detect_scores",
    "`bdry detect`: one row an image, natural or perturbed, and statistic: does it look perturbed?",
    Column("index", "int", "the natural image's position in the official test split"),
    Column("label", "int", "its class"),
    Column("natural_class", "int", "the class predicted for it, which recovery is to find again"),
    Column("is_perturbed", "bool", "whether this row is of its perturbed version"),
    Column("alpha", "float", "what DeepFool's perturbation was scaled by; 0 of the natural image"),
    STATISTIC,
    SEEN_AT,
    DIRECTIONS,
    DIFFERENCE,
    Column("score", "float", "mean over the directions; nan without a boundary point", CURVATURE),
    Column("error", "float", "its standard error", CURVATURE),
    Column("logit_gap", "float", "largest logit minus the second largest: minus it is the baseline's score"),
    Column("predicted", "int", "the class predicted for the image of this row"),
    Column("runner_up", "int", "the class of the second largest logit: what the baseline recovers"),
    Column("recovered", "int", "the class that the statistic recovers; -1 for none"),
    Column("success", "bool", "whether there is a score"),
    Column("flat", "bool", "whether every second derivative is 0, and so the score: as in a linear network"),
    Column("forwards", "int", "forward passes spent on the score, without the search for the boundary point"),
    Column("backwards", "int", "backward passes, likewise"),
)

DETECT_SUMMARY = moment_table(
    "detect_summary",
    "`bdry detect`: one row per statistic and alpha: how well it tells perturbed from natural images, beside the "
    "logit gap and the runner-up on the same images. Intervals are 95 %, by the bootstrap over images.",
    STATISTIC,
    SEEN_AT,
    DIRECTIONS,
    DIFFERENCE,
    Column("alpha", "float", "what DeepFool's perturbation was scaled by"),
    Column("num_images", "int", "images with both scores whose perturbed version has another label"),
    *(
        Column(f"{name}{end}", "float", meaning if not end else f"{words} end of its interval")
        for name, meaning in (
            ("auc", "probability that the perturbed image's score is the larger, ties half"),
            ("logit_gap_auc", "the same of minus the logit gap, the baseline"),
            ("gain", "auc - logit_gap_auc"),
            ("recovery_rate", "share of perturbed images whose natural class is recovered"),
            ("runner_up_rate", "share whose runner-up it is, the baseline"),
            ("recovery_gain", "recovery_rate - runner_up_rate"),
        )
        for end, words in (("", ""), ("_low", "lower"), ("_high", "upper"))
    ),
    Column("tpr_at_fpr05", "float", "perturbed images flagged where 5 % of the natural ones are"),
    Column("tpr_at_fpr10", "float", "the same at 10 %"),
    Column("logit_gap_tpr_at_fpr05", "float", "of the baseline, at 5 %"),
    Column("logit_gap_tpr_at_fpr10", "float", "of the baseline, at 10 %"),
    Column("flat_rate", "float", "share of images with every second derivative 0, as of a linear network"),
    Column("beats_logit_gap", "bool", "whether the interval of the gain is above 0, and that of auc above 1/2"),
)
