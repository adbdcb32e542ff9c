"""Tables of the directions that curvature shares between images, and of the detection of perturbed ones.

docs/papers/fawzi2017.md, Shared directions and Detection: shared_rho, energy, noise, detect_scores and detect_summary.
"""

from .geometry import CURVATURE, METHOD
from .table import EPOCH, STEP, Column, Table

SHARED_SCALE = Column("scale", "float", "beta of softplus_swap, h of fd; nan of ad, which is exact")
SUBSPACE = (
    "shared: S; pca: of training images; gradient: of their smallest perturbations; random; shared_complement: all but "
    "S; shared_minus_gradient: S without its part in gradient; reachable_complement: all but S that the network reacts "
    "to at all"
)
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
DIFFERENCE = Column("h", "float", "step of second differences; nan of exact derivatives", "pixel units of [0, 1]")

SHARED_SUMMARY = Table(
    "shared_summary",
    "`bdry shared`: one row a moment: how the subspace S of shared directions came about.",
    (
        STEP,
        EPOCH,
        METHOD,
        SHARED_SCALE,
        Column(
            "accuracy", "float", "on the images for noise, of the network measured (of softplus_swap the swapped one)"
        ),
        Column("num_points", "int", "training images with a boundary point and curvatures, which S is made of"),
        Column("num_unseen", "int", "unseen images with a boundary point, which rho is a mean over"),
        Column("per_image", "int", "most curved directions taken of each point"),
        Column("dim", "int", "dimension of S; less than asked for where the points span less"),
        Column("rank", "int", "numerical rank of all directions taken"),
        Column("reach_rank", "int", "dimension of the span of the gradients at the training images"),
        Column("num_gradients", "int", "how many gradients those are"),
        Column("confounded", "bool", "whether that span stopped short of the space: directions shared by architecture"),
        Column("typical_norm", "float", "mean l2 norm of the images for noise", "pixel units of [0, 1]"),
    ),
)

SHARED_RHO = Table(
    "shared_rho",
    "`bdry shared`: one row a shared direction u_i: how curved the boundary is along it at unseen images.",
    (
        STEP,
        EPOCH,
        Column("i", "int", "number of the direction, from 1"),
        Column("singular_value", "float", "of the directions that S is made of"),
        Column("mean_rho", "float", "mean of |curvature along u_i| / mean |curvature along a random direction|"),
        Column("ci_low", "float", "lower end of the mean's 95 % bootstrap interval over images"),
        Column("ci_high", "float", "upper end"),
        Column("q10", "float", "10 % quantile over images"),
        Column("q90", "float", "90 % quantile"),
        Column("num_images", "int", "images with a rho"),
        Column("space_extent", "float", "effective number of pixels that u_i is on / that of Gaussian noise"),
        Column("frequency_extent", "float", "effective number of its spatial frequencies / that of Gaussian noise"),
    ),
)

SHARED_ENERGY = Table(
    "shared_energy",
    "`bdry shared`: one row a subspace and k: the energy of unseen images' DeepFool perturbations in k directions.",
    (
        STEP,
        EPOCH,
        Column("subspace", "str", "shared, pca, gradient or random, as in shared_noise"),
        Column("k", "int", "its leading directions that count"),
        Column("mean_energy", "float", "mean over images of ||U_k^T r||^2 / ||r||^2"),
        Column("chance", "float", "k / d"),
        Column("num_images", "int", "images with a perturbation"),
    ),
)

SHARED_NOISE = Table(
    "shared_noise",
    "`bdry shared`: one row a subspace and size of noise: how often noise in it changes the label of test images.",
    (
        STEP,
        EPOCH,
        Column("subspace", "str", SUBSPACE),
        Column("dim", "int", "its dimension"),
        Column("rel_norm", "float", "l2 norm of the noise / mean norm of the images"),
        Column("num_images", "int", "images, each with one draw, the same for all subspaces and sizes"),
        Column("label_change_rate", "float", "share whose predicted label changes"),
        Column("ci_low", "float", "lower end of its 95 % Wilson interval"),
        Column("ci_high", "float", "upper end"),
        Column("accuracy", "float", "share of right labels"),
    ),
)

DETECT_SCORES = Table(
    "detect_scores",
    "`bdry detect`: one row an image, natural or perturbed, and statistic: does it look perturbed?",
    (
        STEP,
        EPOCH,
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
        Column("margin", "float", "largest logit minus the second largest: minus it is the baseline's score"),
        Column("predicted", "int", "the class predicted for the image of this row"),
        Column("runner_up", "int", "the class of the second largest logit: what the baseline recovers"),
        Column("recovered", "int", "the class that the statistic recovers; -1 for none"),
        Column("success", "bool", "whether there is a score"),
        Column("flat", "bool", "whether every second derivative is 0, and so the score: as in a linear network"),
        Column("forwards", "int", "forward passes spent on the score, without the search for the boundary point"),
        Column("backwards", "int", "backward passes, likewise"),
    ),
)

DETECT_SUMMARY = Table(
    "detect_summary",
    "`bdry detect`: one row a statistic and alpha: how well it tells perturbed from natural images, beside the logit "
    "margin and the runner-up on the same images. Intervals are 95 %, by the bootstrap over images.",
    (
        STEP,
        EPOCH,
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
                ("margin_auc", "the same of minus the logit margin, the baseline"),
                ("gain", "auc - margin_auc"),
                ("recovery_rate", "share of perturbed images whose natural class is recovered"),
                ("runner_up_rate", "share whose runner-up it is, the baseline"),
                ("recovery_gain", "recovery_rate - runner_up_rate"),
            )
            for end, words in (("", ""), ("_low", "lower"), ("_high", "upper"))
        ),
        Column("tpr_at_fpr05", "float", "perturbed images flagged where 5 % of the natural ones are"),
        Column("tpr_at_fpr10", "float", "the same at 10 %"),
        Column("margin_tpr_at_fpr05", "float", "of the baseline, at 5 %"),
        Column("margin_tpr_at_fpr10", "float", "of the baseline, at 10 %"),
        Column("flat_rate", "float", "share of images with every second derivative 0, as of a linear network"),
        Column("beats_margin", "bool", "whether the interval of the gain is above 0, and that of auc above 1/2"),
    ),
)
