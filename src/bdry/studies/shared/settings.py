"""`probe=[shared]` and `bdry shared`: directions along which the boundary is curved at many images."""

from __future__ import annotations

from dataclasses import dataclass

from ...settings.options import option, schema
from ...settings.probe import Probe
from ...settings.run_task import RunTask

METHODS = ("auto", "ad", "softplus_swap", "fd")


@dataclass
class SharedSettings:
    """Shared curved directions and the network's sensitivity to noise in them (arXiv 1705.09552)."""

    num_train: int = option(100, "training images whose boundary points S is made of", unit="images", ge=1)
    num_test: int = option(100, "unseen test images for rho and energy; the paper: 1000", unit="images", ge=1)
    num_noise: int = option(1000, "test images for the noise test; our choice", unit="images", ge=1)
    num_pca: int = option(2000, "training images for the principal components; our choice", unit="images", ge=2)
    num_per_image: int = option(10, "most curved directions taken of each training image", ge=1, le=100_000)
    dim: int | None = option(
        None, "dimension of S; null: 200 of 3072 pixels, of others the same share to one digit, 50 of 784", ge=1
    )
    method: str = option(
        "auto",
        "auto: exact second derivatives (ad) of smooth networks, softplus_swap of others; fd: central differences",
        choices=METHODS,
    )
    beta: float = option(10.0, "sharpness of softplus_swap; 5, 10, 30, 100 make a sweep", gt=0)
    fd_step: float = option(10.0, "finite-difference step of fd", unit="sqrt(number of pixels) / 512", gt=0)
    num_directions: int = option(
        100, "random directions for each image that rho compares with; our choice", ge=1, le=1_000_000
    )
    rel_norms: list[float] = option(
        [0.02, 0.05, 0.1, 0.2, 0.3, 0.5], "norms of the noise / mean norm of an image", gt=0
    )
    energy_dims: list[int] = option(
        [1, 2, 5, 10, 20, 50, 100, 200], "k of the energy curves, as far as subspaces go", ge=1
    )
    batch_size: int = option(1024, "images at a time", ge=1)
    points: str = option(
        "nearest_refined",
        "of the training images: nearest_refined on the boundary, or short_of_boundary, 0.8 of the way to DeepFool's",
        choices=("nearest_refined", "short_of_boundary"),
    )


@schema("probe", "shared")
@dataclass
class SharedProbeConfig(SharedSettings, Probe):
    """Shared directions in training."""


@dataclass
class SharedConfig(SharedSettings, RunTask):
    """The whole config of `bdry shared`."""
