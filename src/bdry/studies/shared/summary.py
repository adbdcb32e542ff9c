"""What `bdry shared` prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..printed import Rows, Tables


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """At the last step: how S came about, how curved the boundary is along it, how noise in it changes labels."""
    found = tables("shared_summary")
    if found is None:
        return
    last = found.iloc[-1]
    about = f"step {last['step']}"
    if not last["num_points"]:
        yield f"{about}: no training image has a boundary point with curvatures, hence no direction is shared"
        return
    yield f"{about}: S has {last['dim']} dimensions, from {last['num_points']} training images ({last['points']})"
    if last["confounded"]:
        yield (
            f"the gradients at training images span {last['reach_rank']} dimensions alone: what is shared may be the "
            "architecture's, compare with reachable_complement"
        )
    rho = tables("shared_rho")
    if rho is not None and last["num_unseen"]:
        means = rho.loc[rho["step"] == last["step"], "mean_rho"]
        yield (
            f"curvature along S at {last['num_unseen']} unseen images, over that along random directions: "
            f"{means.mean():.3g} on average, {means.iloc[0]:.3g} along the first"
        )
    noise = tables("shared_noise")
    if noise is None:
        return
    noise = noise[noise["step"] == last["step"]]
    norms = noise["rel_norm"].unique()
    shown = [
        [str(subspace), str(part["dim"].iloc[0]), *(f"{rate:.1%}" for rate in part["label_change_rate"])]
        for subspace, part in noise.groupby("subspace", sort=False)
    ]
    title = f"labels of {noise['num_images'].max()} test images changed by noise, by its norm / an image's"
    yield Rows(title, ("noise in", "dimensions", *(f"{norm:g}" for norm in norms)), shown)
