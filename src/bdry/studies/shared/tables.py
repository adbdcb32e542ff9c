"""Tables and arrays of the directions that curvature shares between images."""

from ...runs.table import Array, Column, moment_arrays, moment_table
from ..curvature.tables import METHOD

SHARED_SCALE = Column("scale", "float", "beta of softplus_swap, h of fd; nan of ad, which is exact")
SUBSPACE = (
    "shared: S; pca: of training images; gradient: of their smallest perturbations; mean_hessian: leading eigenvectors "
    "of the mean Hessian; random; shared_complement: all but S; shared_minus_gradient: S without its part in gradient; "
    "reachable_complement: all but S that the network reacts to at all"
)

SHARED_SUMMARY = moment_table(
    "shared_summary",
    "`bdry shared`: one row a moment: how the subspace S of shared directions came about.",
    METHOD,
    SHARED_SCALE,
    Column("accuracy", "float", "on the images for noise, of the network measured (of softplus_swap the swapped one)"),
    Column("points", "str", "where S was measured: nearest_refined, or short_of_boundary, which is x + 0.8 r"),
    Column("num_points", "int", "training images with a boundary point and curvatures, which S is made of"),
    Column("num_unseen", "int", "unseen images with a boundary point, which rho is a mean over"),
    Column("per_image", "int", "most curved directions taken of each point"),
    Column("dim", "int", "dimension of S; less than asked for where the points span less"),
    Column("rank", "int", "numerical rank of all directions taken, those without curvature left out"),
    Column("mean_hessian_dim", "int", "dimension of the mean Hessian's subspace: as of S, or its rank"),
    Column("mean_hessian_overlap", "float", "mean cos^2 of the principal angles between S and that subspace"),
    Column("reach_rank", "int", "dimension of the span of the gradients at the training images"),
    Column("num_gradients", "int", "how many gradients those are"),
    Column("confounded", "bool", "whether that span stopped short of the space: directions shared by architecture"),
    Column("typical_norm", "float", "mean l2 norm of the images for noise", "pixel units of [0, 1]"),
)

SHARED_RHO = moment_table(
    "shared_rho",
    "`bdry shared`: one row a shared direction u_i: how curved the boundary is along it at unseen images.",
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
)

SHARED_ENERGY = moment_table(
    "shared_energy",
    "`bdry shared`: one row a subspace and k: the energy of unseen images' DeepFool perturbations in k directions.",
    Column("subspace", "str", "shared, pca, gradient, random or mean_hessian, as in shared_noise"),
    Column("k", "int", "its leading directions that count"),
    Column("mean_energy", "float", "mean over images of ||U_k^T r||^2 / ||r||^2"),
    Column("chance", "float", "k / d"),
    Column("num_images", "int", "images with a perturbation"),
)

SHARED_NOISE = moment_table(
    "shared_noise",
    "`bdry shared`: one row a subspace and size of noise: how often noise in it changes the label of test images.",
    Column("subspace", "str", SUBSPACE),
    Column("dim", "int", "its dimension"),
    Column("rel_norm", "float", "l2 norm of the noise / mean norm of the images"),
    Column("num_images", "int", "images, each with one draw, the same for all subspaces and sizes"),
    Column("label_change_rate", "float", "share whose predicted label changes"),
    Column("ci_low", "float", "lower end of its 95 % Wilson interval"),
    Column("ci_high", "float", "upper end"),
    Column("accuracy", "float", "share of right labels"),
)

_PICTURES = ("channel", "row", "column")

SHARED_DIRS = moment_arrays(
    "shared_dirs",
    "`bdry shared`: directions of the subspaces as images of unit l2 norm.",
    Array("shared", ("direction", *_PICTURES), "float", "of S, the most shared first"),
    Array("pca", ("component", *_PICTURES), "float", "principal components of training images"),
    Array("gradient", ("perturbation", *_PICTURES), "float", "leading directions of smallest perturbations"),
    Array("mean_hessian", ("eigenvector", *_PICTURES), "float", "leading eigenvectors of the mean Hessian"),
    Array("random", ("direction", *_PICTURES), "float", "random directions"),
    Array("singular_values", ("direction",), "float", "of the directions that S is made of"),
    Array("contribution", ("image", "direction"), "float", "share of each training image in each direction"),
    Array("index", ("image",), "int", "the training images' positions in the official split"),
)
