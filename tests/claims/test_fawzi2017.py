"""Every rule on made tables whose verdict is known: where it holds, where it does not, and where it cannot say."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge
from bdry.runs import TABLES
from bdry.selection.networks import networks

SEEDS = (0, 1)
FAMILIES = ["nearest_refined", "deepfool_end", "nat_segment", "random_dir"]


def run_name(activation):
    return f"fashion_mnist-avgcnn-{activation}"


def table(name, rows, *, activation="softplus", seeds=SEEDS, training="standard"):
    """Rows of a measurement's table for each seed, all that is not given being 0."""
    made = pd.DataFrame(rows).reindex(columns=TABLES[name].column_names)
    made = made.fillna(
        {c.name: 0 for c in TABLES[name].columns if c.kind != "str" and c.name not in made.dropna(axis=1)}
    )
    identity = {
        "experiment": run_name(activation),
        "study": "main",
        "dataset": "fashion_mnist",
        "arch": "avgcnn",
        "adv": "none",
        "training": training,
        "measurement": "m",
    }
    return pd.concat([made.assign(**identity, seed=seed) for seed in seeds], ignore_index=True)


def verdict(claim, activation="softplus", **tables):
    config = {"dataset": {"name": "fashion_mnist"}, "arch": {"name": "avgcnn", "activation": activation}}
    evidence = Evidence({f"{name}": rows for name, rows in tables.items()}, {run_name(activation): config})
    return CLAIMS["fawzi2017"][claim].rule(evidence)


def paths(*, found=1.0, length=1.0001, pairs=40, seeds=SEEDS):
    rows = [
        {
            "scenario": scenario,
            "pair": pair,
            "in_region": True,
            "found": pair < found * pairs,
            "relative_length": (length + 1e-4 * (pair % 5)) if pair < found * pairs else np.nan,
        }
        for scenario in ("natural", "perturbed", "random")
        for pair in range(pairs)
    ]
    return table("paths", rows, seeds=seeds)


def curvature(share, *, kinks="none", method="ad", points=30):
    rows = [
        {
            "family": "nearest_refined",
            "method": method,
            "solver": "dense",
            "kinks": kinks,
            "affine": False,
            "index": index,
            "frac_abs_lt_5pct": share + 0.01 * np.sin(index),
            "frac_abs_lt_1pct": share / 2,
        }
        for index in range(points)
    ]
    return table("curvature_summary", rows)


def sides(share, *, activation="relu", points=60):
    """`share` of the nearest points have the tangent plane on their own side; half of the other families'."""
    rows = [
        {
            "family": family,
            "t": t,
            "index": index,
            "share_own_side": 0.8 if index < points * (share if family == "nearest_refined" else 0.5) else 0.2,
        }
        for family in FAMILIES
        for t in (0.3, 1.0)
        for index in range(points)
    ]
    return table("tangent_sides", rows, activation=activation)


def summary(*, confounded=False, method="ad"):
    return table("shared_summary", [{"method": method, "confounded": confounded, "reach_rank": 128}])


def rho(first, *, extent=0.3, seeds=SEEDS):
    rows = [
        {
            "i": i,
            "mean_rho": first / i,
            "ci_low": 0.9 * first / i,
            "ci_high": 1.1 * first / i,
            "num_images": 50,
            "space_extent": extent,
            "frequency_extent": extent / 2,
        }
        for i in range(1, 21)
    ]
    return table("shared_rho", rows, seeds=seeds)


def noise(inside, outside):
    rates = {"shared": inside, "shared_complement": outside, "random": 0.04, "pca": 0.1, "gradient": inside}
    rows = [
        {
            "subspace": name,
            "rel_norm": rel_norm,
            "num_images": 1000,
            "label_change_rate": rate,
            "ci_low": rate * 0.9,
            "ci_high": rate * 1.1,
        }
        for name, rate in rates.items()
        for rel_norm in (0.1, 0.2)
    ]
    return table("shared_noise", rows)


def energy(shared, pca=0.1):
    rows = [
        {"subspace": name, "k": k, "mean_energy": value * k / 10, "chance": k / 784, "num_images": 50}
        for name, value in (("shared", shared), ("pca", pca))
        for k in (1, 10)
    ]
    return table("shared_energy", rows)


def scores(natural, perturbed, *, activation="relu", images=60):
    """Shares of natural images with positive mean curvature and of perturbed ones with negative, at every family."""
    rows = [
        {
            "index": index,
            "is_perturbed": alpha > 0,
            "alpha": alpha,
            "statistic": "boundary_curvature",
            "family": family,
            "num_directions": 50,
            # scores are of f_other - f_own
            "score": (1.0 if alpha else -1.0) * (1 if index < images * (perturbed if alpha else natural) else -1),
            "success": True,
        }
        for family in FAMILIES
        for alpha in (0.0, 1.0, 5.0)
        for index in range(images)
    ]
    return table("detect_scores", rows, activation=activation)


def detection(gain, *, activation="relu", runner_up=0.6, num_images=100, auc=0.9, alphas=(1.0, 2.0)):
    """At alpha = 1 the runner-up is right for all; at 2 the gain is `gain`."""
    rows = []
    for family, statistic in [("image", "sample_curvature"), *((name, "boundary_curvature") for name in FAMILIES)]:
        for alpha in alphas:
            base = 1.0 if alpha == 1 else runner_up
            own = 0.0 if alpha == 1 else gain
            rows.append(
                {
                    "statistic": statistic,
                    "family": family,
                    "num_directions": 50,
                    "alpha": alpha,
                    "num_images": num_images,
                    "auc": auc,
                    "logit_gap_auc": 0.95,
                    "beats_logit_gap": auc > 0.95,
                    "runner_up_rate": base,
                    "recovery_rate": base + own,
                    "recovery_gain": own,
                    "recovery_gain_low": own - 0.05,
                    "recovery_gain_high": own + 0.05,
                }
            )
    return table("detect_summary", rows, activation=activation)


HOLDING = {
    "C1": lambda: verdict("C1", paths=paths(found=0.95)),
    "C2": lambda: verdict("C2", paths=paths()),
    "C3": lambda: verdict("C3", curvature_summary=curvature(0.9)),
    "C4": lambda: verdict("C4", "relu", tangent_sides=sides(0.9)),
    "C5": lambda: verdict("C5", shared_summary=summary(), shared_rho=rho(80)),
    "C6": lambda: verdict("C6", shared_summary=summary(), shared_rho=rho(80)),
    "C7": lambda: verdict("C7", shared_summary=summary(), shared_noise=noise(0.2, 0.002), shared_energy=energy(0.9)),
    "C8": lambda: verdict("C8", "relu", detect_scores=scores(0.9, 0.8)),
    "C9": lambda: verdict("C9", "relu", detect_summary=detection(0.2)),
}

FAILING = {
    "C1": lambda: verdict("C1", paths=paths(found=0.9)),
    "C2": lambda: verdict("C2", paths=paths(length=1.05)),
    "C3": lambda: verdict("C3", curvature_summary=curvature(0.6)),
    "C4": lambda: verdict("C4", "relu", tangent_sides=sides(0.3)),
    "C5": lambda: verdict("C5", shared_summary=summary(), shared_rho=rho(4)),
    "C6": lambda: verdict("C6", shared_summary=summary(), shared_rho=rho(80, extent=0.9)),
    "C7": lambda: verdict("C7", shared_summary=summary(), shared_noise=noise(0.2, 0.1), shared_energy=energy(0.9)),
    "C8": lambda: verdict("C8", "relu", detect_scores=scores(0.9, 0.3)),
    "C9": lambda: verdict("C9", "relu", detect_summary=detection(-0.3)),
}

UNTESTABLE = {
    "C1": lambda: verdict("C1", paths=paths(pairs=10)),
    "C2": lambda: verdict("C2", paths=paths(pairs=10)),
    "C3": lambda: verdict("C3", curvature_summary=curvature(0.9, kinks="MaxPool2d")),
    "C4": lambda: verdict("C4", tangent_sides=sides(0.9, activation="softplus")),
    "C5": lambda: verdict("C5", shared_summary=summary(confounded=True), shared_rho=rho(80)),
    "C6": lambda: verdict("C6", shared_summary=summary(method="softplus_swap"), shared_rho=rho(80)),
    "C7": lambda: verdict(
        "C7", shared_summary=summary(confounded=True), shared_noise=noise(0.2, 0.002), shared_energy=energy(0.9)
    ),
    "C8": lambda: verdict("C8", detect_scores=scores(0.9, 0.9, activation="softplus")),
    "C9": lambda: verdict("C9", "relu", detect_summary=detection(0.2, alphas=(1.0,))),
}


def test_every_claim_is_tried_all_three_ways():
    names = set(CLAIMS["fawzi2017"])
    assert names == set(HOLDING) == set(FAILING) == set(UNTESTABLE) == {f"C{n}" for n in range(1, 10)}


@pytest.mark.parametrize("name", HOLDING)
def test_holds(name):
    assert HOLDING[name]().verdict == "holds", HOLDING[name]().reason


@pytest.mark.parametrize("name", FAILING)
def test_does_not_hold(name):
    assert FAILING[name]().verdict == "does not hold", FAILING[name]().reason


@pytest.mark.parametrize("name", UNTESTABLE)
def test_not_tested(name):
    assert UNTESTABLE[name]().verdict == "not tested", UNTESTABLE[name]().reason


def test_without_tables_nothing_is_tested():
    for claim in CLAIMS["fawzi2017"].values():
        assert claim.rule(Evidence({})).verdict == "not tested"


def test_a_path_that_was_not_found_is_no_proof():
    assert "does not show that there is none" in FAILING["C1"]().reason
    assert "disconnected" not in FAILING["C1"]().reason


def test_one_seed_below_the_gate_is_enough_to_fail():
    both = pd.concat([rho(30, seeds=(0,)), rho(9, seeds=(1,))], ignore_index=True)
    found = verdict("C5", shared_summary=summary(), shared_rho=both)
    assert (found.verdict, found.estimate.value) == ("does not hold", 19.5)


def test_half_of_the_points_is_not_significant():
    found = verdict("C4", "relu", tangent_sides=sides(0.55))
    assert found.verdict == "does not hold"
    assert "not significant" in found.reason


def test_asymmetry_and_detection_list_all_families_the_activation_and_the_baselines():
    for found in (verdict("C4", "silu", tangent_sides=sides(0.9, activation="silu")), HOLDING["C4"](), HOLDING["C8"]()):
        assert all(family in found.reason for family in FAMILIES)
    assert "avgcnn silu" in verdict("C4", "silu", tangent_sides=sides(0.9, activation="silu")).reason
    tables = {"detect_scores": scores(0.9, 0.8), "detect_summary": detection(0.2)}
    found = verdict("C8", "relu", **tables)
    assert "does not beat the logit margin's 0.95" in found.reason
    assert all(family in HOLDING["C9"]().reason for family in FAMILIES)


def test_noise_that_changes_nothing_does_not_make_the_subspace_sensitive():
    tables = {"shared_summary": summary(), "shared_noise": noise(0.0, 0.0), "shared_energy": energy(0.9)}
    assert verdict("C7", **tables).verdict == "does not hold"
    tables |= {"shared_noise": noise(0.2, 0.002), "shared_energy": energy(0.05)}
    assert "no more energy" in verdict("C7", **tables).reason


def test_only_the_last_moment_counts():
    rows = rho(30)
    early = rows.assign(step=-1, mean_rho=1.0)
    evidence = Evidence({"shared_rho": pd.concat([early, rows], ignore_index=True)})
    (network,) = networks(evidence, "shared_rho", i=1)
    assert {seed: part["mean_rho"].tolist() for seed, part in network.seeds.items()} == {0: [30.0], 1: [30.0]}


def test_adversarial_training_is_not_judged():
    rows = rho(80).assign(training="pgd linf")
    assert verdict("C5", shared_summary=summary(), shared_rho=rows).verdict == "not tested"


def test_the_page_has_a_row_for_each_claim():
    config = {"dataset": {"name": "fashion_mnist"}, "adv": {"name": "none"}}
    evidence = Evidence({"paths": paths()}, {run_name("softplus"): config})
    assert judge("fawzi2017", evidence)["claim"].tolist() == [f"C{n}" for n in range(1, 10)]
