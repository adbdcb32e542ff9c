"""Every rule on simulated studies whose truth is known: no effect, the claimed effect, the opposite; too few data."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge
from bdry.runs import TABLES
from bdry.selection.networks import networks

from .simulated import shares

PAPER = "fawzi2017"
SEEDS = tuple(range(6))
FAMILIES = ["nearest_refined", "deepfool_end", "nat_segment", "random_dir"]
SCENARIOS = ("natural", "perturbed", "random")
DEFAULTS = {"int": 0, "float": 0.0, "bool": False, "str": ""}


def run_name(activation):
    return f"fashion_mnist-avgcnn-{activation}"


def table(name, columns, *, activation="softplus", training="standard"):
    """A measurement's table from columns, `seed` among them; what is not given is empty."""
    made = {column.name: DEFAULTS[column.kind] for column in TABLES[name].columns}
    about = {"experiment": run_name(activation), "study": "main", "dataset": "fashion_mnist", "arch": "avgcnn"}
    about |= {"adv": "none", "training": training, "measurement": "m"}
    return pd.DataFrame(about | made | columns)


def evidence(activation="softplus", **tables):
    config = {"dataset": {"name": "fashion_mnist"}, "arch": {"name": "avgcnn", "activation": activation}}
    return Evidence(tables, {run_name(activation): config | {"adv": {"name": "none"}}})


def verdict(name, found):
    return CLAIMS[PAPER][name].rule(found)


def grid(*levels):
    """Every combination of the levels, a column each."""
    return [column.ravel() for column in np.meshgrid(*(np.array(one) for one in levels), indexing="ij")]


def paths(rng, *, found=1.0, length=0.001, pairs=24, seeds=SEEDS, scenarios=SCENARIOS):
    """Pairs drawn anew for every seed; `length` is how much longer than straight a path is on average."""
    seed, scenario, pair = grid(seeds, scenarios, range(pairs))
    is_found = rng.random(len(seed)) < found
    extra = length * rng.lognormal(0, 0.3, len(seed))
    columns = {"seed": seed, "scenario": scenario, "pair": pair, "in_region": True, "found": is_found}
    return table("paths", columns | {"relative_length": np.where(is_found, 1 + extra, np.nan)})


def curvature(rng, share, *, kinks="none", method="ad", points=30, seeds=SEEDS):
    seed, index = grid(seeds, range(points))
    values = share + rng.normal(0, 0.03, len(seeds))[seed] + np.random.default_rng(1).normal(0, 0.05, points)[index]
    columns = {"seed": seed, "index": index, "family": "nearest_refined", "method": method, "solver": "dense"}
    columns |= {
        "kinks": kinks,
        "frac_abs_lt_5pct": np.clip(values, 0, 1),
        "frac_abs_lt_1pct": np.clip(values, 0, 1) / 2,
    }
    return table("curvature_summary", columns)


def sides(rng, share, *, activation="relu", points=50, seeds=SEEDS):
    """`share` of the nearest points have the tangent plane on their own side; half of the other families'."""
    seed, family, t, index = grid(seeds, FAMILIES, (0.3, 1.0), range(points))
    is_own = rng.random(len(seed)) < np.where(family == "nearest_refined", share, 0.5)
    columns = {"seed": seed, "family": family, "t": t, "index": index, "share_own_side": np.where(is_own, 0.8, 0.2)}
    return table("tangent_sides", columns, activation=activation)


def summary(*, confounded=False, method="ad", seeds=SEEDS):
    return table("shared_summary", {"seed": list(seeds), "method": method, "confounded": confounded, "reach_rank": 128})


def rho(rng, first, *, extent=0.3, seeds=SEEDS):
    seed, i = grid(seeds, range(1, 11))
    spread = np.exp(rng.normal(0, 0.2, len(seeds)))[seed]
    sizes = {f"{kind}_extent": extent * np.exp(rng.normal(0, 0.1, len(seeds)))[seed] for kind in ("space", "frequency")}
    return table("shared_rho", {"seed": seed, "i": i, "mean_rho": first * spread / i, "num_images": 50, **sizes})


def noise(rng, inside, outside, *, seeds=SEEDS):
    rates = {"shared": inside, "shared_complement": outside, "random": 0.04, "pca": 0.1}
    seed, subspace, rel_norm = grid(seeds, list(rates), (0.1, 0.2))
    own = {name: rate * np.exp(rng.normal(0, 0.1, len(seeds))) for name, rate in rates.items()}
    values = [own[name][number] for name, number in zip(subspace, seed, strict=True)]
    return table(
        "shared_noise", {"seed": seed, "subspace": subspace, "rel_norm": rel_norm, "label_change_rate": values}
    )


def energy(rng, shared, pca=0.1, *, seeds=SEEDS):
    seed, subspace, k = grid(seeds, ("shared", "pca"), (1, 10))
    values = np.where(subspace == "shared", shared, pca) + rng.normal(0, 0.01, len(seeds))[seed]
    return table(
        "shared_energy", {"seed": seed, "subspace": subspace, "k": k, "mean_energy": values, "chance": k / 784}
    )


def noisy(rng, inside, outside, shared=0.9, **more):
    tables = {"shared_noise": noise(rng, inside, outside), "shared_energy": energy(rng, shared)}
    return evidence(shared_summary=summary(**more), **tables)


def scores(rng, natural, perturbed, *, activation="relu", images=40, seeds=SEEDS):
    """Shares of natural images with positive mean curvature and of perturbed ones with negative, at every family."""
    seed, family, alpha, index = grid(seeds, FAMILIES, (0.0, 1.0, 5.0), range(images))
    is_claimed = rng.random(len(seed)) < np.where(alpha > 0, perturbed, natural)
    # scores are of f_other - f_own
    sign = np.where(alpha > 0, 1.0, -1.0) * np.where(is_claimed, 1, -1)
    columns = {"seed": seed, "family": family, "alpha": alpha, "index": index, "is_perturbed": alpha > 0, "score": sign}
    columns |= {"statistic": "boundary_curvature", "num_directions": 50, "success": True}
    return table("detect_scores", columns, activation=activation)


def detection(rng, gain, *, activation="relu", num_images=100, alphas=(1.0, 2.0), seeds=SEEDS):
    """At alpha = 1 the runner-up is right for all; at 2 the gain is `gain`."""
    seed, family, alpha = grid(seeds, ["image", *FAMILIES], alphas)
    own = np.where(alpha == 1, 0.0, gain + rng.normal(0, 0.03, len(seeds))[seed])
    base = np.where(alpha == 1, 1.0, 0.6)
    columns = {"seed": seed, "family": family, "alpha": alpha, "num_images": num_images, "num_directions": 50}
    columns |= {"statistic": np.where(family == "image", "sample_curvature", "boundary_curvature")}
    columns |= {"auc": 0.9 + rng.normal(0, 0.01, len(seed)), "logit_gap_auc": 0.95, "runner_up_rate": base}
    return table("detect_summary", columns | {"recovery_rate": base + own, "recovery_gain": own}, activation=activation)


def shared(rng, first=80, extent=0.3, **more):
    return evidence(shared_summary=summary(**more), shared_rho=rho(rng, first, extent=extent))


def relu(**tables):
    return evidence("relu", **tables)


# claim -> studies under no effect, under the claimed one, under the opposite one
TRUTHS = {
    "C1": (
        lambda rng: evidence(paths=paths(rng, found=0.95)),
        lambda rng: evidence(paths=paths(rng)),
        lambda rng: evidence(paths=paths(rng, found=0.75)),
    ),
    "C2": (
        lambda rng: evidence(paths=paths(rng, length=0.01)),
        lambda rng: evidence(paths=paths(rng, length=0.001)),
        lambda rng: evidence(paths=paths(rng, length=0.05)),
    ),
    "C3": tuple(
        lambda rng, share=share: evidence(curvature_summary=curvature(rng, share)) for share in (0.75, 0.9, 0.6)
    ),
    "C4": tuple(lambda rng, share=share: relu(tangent_sides=sides(rng, share)) for share in (0.5, 0.8, 0.2)),
    "C5": tuple(lambda rng, first=first: shared(rng, first) for first in (10, 30, 3)),
    "C6": tuple(lambda rng, extent=extent: shared(rng, extent=extent) for extent in (0.5, 0.3, 0.9)),
    "C7": tuple(lambda rng, inside=inside: noisy(rng, inside, 0.02) for inside in (0.1, 0.3, 0.03)),
    "C8": tuple(lambda rng, share=share: relu(detect_scores=scores(rng, share, share)) for share in (0.5, 0.8, 0.2)),
    "C9": tuple(lambda rng, gain=gain: relu(detect_summary=detection(rng, gain)) for gain in (0.0, 0.2, -0.2)),
}


def test_every_claim_is_simulated():
    assert set(TRUTHS) == set(CLAIMS[PAPER]) == {f"C{n}" for n in range(1, 10)}


@pytest.mark.parametrize("name", TRUTHS)
def test_no_effect_is_hardly_ever_supported(name):
    assert shares(PAPER, name, TRUTHS[name][0], 6)["supported"] <= 0.05


@pytest.mark.parametrize("name", TRUTHS)
def test_the_claimed_effect_is_supported(name):
    assert shares(PAPER, name, TRUTHS[name][1], 4)["supported"] >= 0.8


@pytest.mark.parametrize("name", TRUTHS)
def test_the_opposite_is_contradicted(name):
    assert shares(PAPER, name, TRUTHS[name][2], 3)["contradicted"] >= 0.8


RNG = np.random.default_rng(5)
# claim -> what it is not judged on
NOT_JUDGED = {
    "C3": evidence(curvature_summary=curvature(RNG, 0.9, kinks="MaxPool2d")),
    "C4": evidence(tangent_sides=sides(RNG, 0.9, activation="softplus")),
    "C5": shared(RNG, confounded=True),
    "C6": shared(RNG, method="softplus_swap"),
    "C7": noisy(RNG, 0.2, 0.002, confounded=True),
    "C8": evidence(detect_scores=scores(RNG, 0.9, 0.9, activation="softplus")),
    "C9": relu(detect_summary=detection(RNG, 0.2, alphas=(1.0,))),
}


@pytest.mark.parametrize("name", NOT_JUDGED)
def test_what_a_claim_is_not_about_is_not_judged(name):
    found = verdict(name, NOT_JUDGED[name])
    assert (found.verdict, all(part.secondary for part in found.parts)) == ("not run", True)
    assert found.reason


@pytest.mark.parametrize("name", TRUTHS)
def test_one_seed_and_no_number_are_rows_that_say_so(name):
    made = TRUTHS[name][1](np.random.default_rng(1))
    one = Evidence({key: rows[rows["seed"] == 0] for key, rows in made.tables.items()}, made.configs)
    found = verdict(name, one)
    assert found.verdict == "undecided"
    assert "of the 5 seeds that an interval needs" in found.reason
    values = ["found", "relative_length", "frac_abs_lt_5pct", "share_own_side", "mean_rho", "space_extent"]
    values += ["label_change_rate", "score", "recovery_gain"]
    empty = {
        key: rows.assign(**{name: np.nan for name in values if name in rows and rows[name].dtype.kind == "f"})
        for key, rows in made.tables.items()
    }
    assert verdict(name, Evidence(empty, made.configs)).verdict in ("undecided", "not run", "supported")
    assert verdict(name, Evidence({})).verdict == "not run"


def test_a_path_that_was_not_found_is_no_proof():
    found = verdict("C1", TRUTHS["C1"][2](RNG))
    assert "does not show that there is none" in found.reason
    assert "disconnected" not in found.reason


def test_all_of_few_pairs_have_the_exact_interval_and_few_seeds_none():
    found = verdict("C1", evidence(paths=paths(RNG, scenarios=("natural",))))
    (part,) = found.parts
    assert part.effect.value == 1
    assert part.effect.low == pytest.approx(0.025 ** (1 / 144))
    two = verdict("C1", evidence(paths=paths(RNG, seeds=(0, 1))))
    assert (two.verdict, two.parts[0].effect.known) == ("undecided", False)


def test_pairs_and_seeds_that_do_not_count_are_counted():
    made = paths(RNG, scenarios=("natural",))
    made.loc[(made["seed"] == 0) & (made["pair"] < 10), "in_region"] = False
    (part,) = verdict("C1", evidence(paths=made)).parts
    assert part.left_out == "1 of 6 seeds have fewer than 20 pairs (0); 10 pairs outside the region"
    assert part.effect.num_seeds == 5


def test_a_wide_interval_around_a_large_mean_is_no_support():
    """Two seeds at 9 and 34 were "holds" once: 21.4 [-61, 104] against 10."""
    made = rho(RNG, 10)
    made["mean_rho"] *= np.array([9, 34, 6, 30, 7, 25])[made["seed"]] / 10
    found = verdict("C5", evidence(shared_summary=summary(), shared_rho=made))
    assert found.verdict == "undecided"
    assert found.parts[0].effect.low > 0


def test_asymmetry_and_detection_list_all_families_the_activation_and_the_baselines():
    smooth = verdict("C4", evidence("silu", tangent_sides=sides(RNG, 0.9, activation="silu")))
    for found in (smooth, verdict("C4", TRUTHS["C4"][1](RNG)), verdict("C8", TRUTHS["C8"][1](RNG))):
        assert all(any(family in part.label for part in found.parts) for family in FAMILIES)
    assert "avgcnn silu" in smooth.parts[0].label
    found = verdict("C8", relu(detect_scores=scores(RNG, 0.9, 0.8), detect_summary=detection(RNG, 0.2)))
    aucs = [part for part in found.parts if part.statistic == "AUC minus the logit gap's"]
    assert aucs
    assert all(part.secondary and part.verdict == "contradicted" for part in aucs)


def test_noise_that_changes_nothing_does_not_make_the_subspace_sensitive():
    assert verdict("C7", noisy(RNG, 0.0, 0.0)).verdict == "contradicted"
    assert verdict("C7", noisy(RNG, 0.2, 0.002, shared=0.05)).verdict == "contradicted"


def test_only_the_last_moment_counts():
    rows = rho(RNG, 30)
    early = rows.assign(step=-1, mean_rho=1.0)
    found = Evidence({"shared_rho": pd.concat([early, rows], ignore_index=True)})
    (network,) = networks(found, "shared_rho", i=1)
    assert all(part["mean_rho"].tolist() == rows.loc[(rows["seed"] == seed) & (rows["i"] == 1), "mean_rho"].tolist()
               for seed, part in network.seeds.items())  # fmt: skip


def test_experiments_of_one_architecture_are_told_apart_and_called_the_same_in_all_tables():
    first, other = paths(RNG), curvature(RNG, 0.9)
    both = pd.concat([first, first.assign(experiment="fashion_mnist-avgcnn-none-11111111")], ignore_index=True)
    found = evidence(paths=both, curvature_summary=other)
    alike = [network.name for network in networks(found, "paths")]
    assert alike == ["avgcnn none", "avgcnn softplus"]
    found = Evidence(found.tables)
    alike = [network.name for network in networks(found, "paths")]
    assert alike == ["avgcnn none (11111111)", "avgcnn none (softplus)"]
    assert [network.name for network in networks(found, "curvature_summary")] == ["avgcnn none (softplus)"]


def test_a_network_that_some_seeds_lack_is_kept_and_they_are_counted():
    made = curvature(RNG, 0.9)
    made.loc[made["seed"] == 2, "method"] = "fd"
    found = verdict("C3", evidence(curvature_summary=made))
    assert found.verdict == "supported"
    assert found.parts[0].left_out == "1 of 6 seeds have no such rows (2)"


def test_adversarial_training_is_not_judged():
    made = shared(RNG)
    made.tables["shared_rho"]["training"] = "pgd linf"
    assert verdict("C5", made).verdict == "not run"


def test_the_page_has_rows_for_each_claim_and_for_networks_that_nobody_ran():
    found = judge(PAPER, evidence(paths=paths(RNG)))
    assert list(dict.fromkeys(found["claim"])) == [f"C{n}" for n in range(1, 10)]
    missing = found[found["dataset"].isin(["cifar10", "imagenet"])]
    assert set(missing["verdict"]) == {"not run"}
    assert set(missing["part"]) == {"lenet", "nin", "caffenet"}
