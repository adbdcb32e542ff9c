"""`probe=[shared]` and `bdry shared`: directions along which the boundary is curved at many images."""

from __future__ import annotations

from dataclasses import dataclass

from .option import check_lists, option, schema
from .probe import Moments, Probe
from .run_task import RunTask

METHODS = ("auto", "ad", "softplus_swap", "fd")


@schema("probe", "shared")
@dataclass
class SharedProbe(Probe):
    """Shared curved directions and the network's sensitivity to noise in them (arXiv 1705.09552)."""

    num_train: int = option(100, "training images whose boundary points S is made of", unit="images", ge=1)
    num_test: int = option(100, "unseen test images for rho and energy; the paper: 1000", unit="images", ge=1)
    num_noise: int = option(1000, "test images for the noise test; our choice", unit="images", ge=1)
    num_pca: int = option(2000, "training images for the principal components; our choice", unit="images", ge=2)
    per_image: int = option(10, "most curved directions taken of each training image", ge=1)
    dim: int | None = option(
        None, "dimension of S; null: 200 of 3072 pixels, of others the same share to one digit, 50 of 784", ge=1
    )
    method: str = option(
        "auto",
        "auto: exact second derivatives (ad) of smooth networks, softplus_swap of others; fd: central differences",
        choices=METHODS,
    )
    beta: float = option(10.0, "sharpness of softplus_swap; worth a sweep: 5, 10, 30, 100", gt=0)
    c: float = option(10.0, "of fd, step h = sqrt(d) c / 512", gt=0)
    directions: int = option(100, "random directions an image that rho compares with; our choice", ge=1)
    rel_norms: list[float] = option(
        [0.02, 0.05, 0.1, 0.2, 0.3, 0.5], "norms of the noise / mean norm of an image", gt=0
    )
    energy_dims: list[int] = option(
        [1, 2, 5, 10, 20, 50, 100, 200], "k of the energy curves, as far as subspaces go", ge=1
    )
    batch_size: int = option(1024, "images at a time", ge=1)

    def check_together(self) -> None:
        """No empty or doubled list."""
        check_lists(self, "rel_norms", "energy_dims")


@dataclass
class SharedConfig(RunTask, SharedProbe):
    """The whole config of `bdry shared`."""

    moments: Moments | None = option(None, "not used", science=False, hidden=True)

    def check_together(self) -> None:
        """As the run's and the probe's."""
        RunTask.check_together(self)
        SharedProbe.check_together(self)
