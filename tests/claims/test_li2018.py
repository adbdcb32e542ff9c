"""Every rule on simulated studies whose truth is known: no effect, the claimed effect, the opposite; too few data."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge

from .simulated import shares

PAPER = "li2018"
SEEDS = tuple(range(6))
SGD = {
    "dataset": {"name": "digits"},
    "optim": {"name": "sgd", "weight_decay": 0.0},
    "training": {},
    "adv": {"name": "none"},
}
IDENTITY = {"study": "main", "dataset": "digits", "arch": "mlp", "adv": "none", "training": "standard"}
IDENTITY |= {"experiment": "digits-mlp-none-1"}
SCALED, PLAIN = "last_only_loss_scaled", "last_only"
CONVERGENCE, FIT, BIAS = "svm_convergence", "svm_rate_fit", "svm_bias"


def steps(rng, stage, angles, ratios=None, *, spread=0.05, variant="S1", seeds=SEEDS, losses=0.5, noise=0.0, **more):
    """`svm_convergence`: a checkpoint for each angle, of every seed its own factor."""
    whole, numbers = stage == "whole", np.arange(len(angles))
    factors = np.exp(rng.normal(0, spread, len(seeds)))
    about = {"epoch": 1.0 * numbers, "step": 10 * numbers if whole else 100, "stage": stage, "fresh": False}
    about |= {"stage_step": 0 if whole else 10**numbers, "rescaled": False, "variant": variant, "separable": True}
    about |= {
        "n_times_loss": losses,
        "w_norm_centred": 1.0 + numbers,
        "svm_to_s1_full_deg": 0.0 if variant == "S1" else 20.0,
        "svm_min_margin": 1.0,
    }
    ratios = np.array(ratios if ratios is not None else [0.995] * len(angles))
    parts = [
        pd.DataFrame(
            about
            | {"angle_full_deg": np.array(angles) * factor + rng.normal(0, noise, len(angles)), "seed": seed}
            | {"margin_ratio": 1 - (1 - ratios) * factor + rng.normal(0, noise / 100, len(angles))}
            | IDENTITY
            | more
        )
        for seed, factor in zip(seeds, factors, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def bias(rng, whole, alone, seeds=SEEDS):
    """`svm_bias`: one pair of classes; how far from midway both arms are."""
    rows = []
    for seed in seeds:
        for stage, fresh, off, at in (("whole", False, whole, 0), (PLAIN, True, 0.45, 1), (PLAIN, True, alone, 9)):
            about = {"step": 100, "stage": stage, "fresh": fresh, "rescaled": False, "stage_step": at, "seed": seed}
            rows.append(IDENTITY | about | {"class_i": 0, "class_j": 1, "beta_nn": 0.5 - off + rng.normal(0, 0.02)})
    return pd.DataFrame(rows)


def fits(rng, stage, *, r2=0.97, slope=-1.0, growth=2.0, seeds=SEEDS):
    about = {"step": 100, "stage": stage, "fresh": False, "rescaled": False, "variant": "S1", "svm_norm": 2.0}
    noise = rng.normal(0, 0.02, (3, len(seeds)))
    values = {"r2": r2 + noise[0], "log_loss_per_log_step": slope + noise[1], "norm_per_log_step": growth + noise[2]}
    return pd.DataFrame({"seed": list(seeds), **values}).assign(**about, **IDENTITY)


def evidence(*convergence, config=SGD, **tables):
    if convergence:
        tables[CONVERGENCE] = pd.concat(convergence, ignore_index=True)
    return Evidence(tables, {"digits-mlp-none-1": config})


def verdict(name, found):
    return CLAIMS[PAPER][name].rule(found)


def ending(angles, ratios=None):
    return lambda rng: evidence(steps(rng, SCALED, angles, ratios))


def turning(angles, ratios, noise=0.1):
    return lambda rng: evidence(steps(rng, "whole", angles, ratios, noise=noise))


def biased(whole, alone):
    return lambda rng: evidence(steps(rng, SCALED, [20, 1]), svm_bias=bias(rng, whole, alone))


def rates(stage, angle=5.0, **how):
    return lambda rng: evidence(steps(rng, stage, [20, angle]), svm_rate_fit=fits(rng, stage, **how))


def slowly(plain, noise=1.0):
    """Plain steps end at `plain` degrees, loss-scaled ones at 3."""
    return lambda rng: evidence(steps(rng, PLAIN, [40, plain], noise=noise), steps(rng, SCALED, [40, 3], noise=noise))


def compared(theirs, own=0.9):
    return lambda rng: evidence(
        steps(rng, SCALED, [20, own], spread=0.3), steps(rng, SCALED, [30, theirs], variant="OvR", spread=0.3)
    )


def two_classes(without_slack, with_slack):
    """Of two classes: degrees between SVC and S3 where SVC has no slack, and between SVC and S1 where it has some."""

    def draw(rng):
        tables, configs = [], {}
        for number, (hard, degrees) in enumerate(((True, without_slack), (False, with_slack))):
            about = {"experiment": f"digits-mlp-none-{number}", "study": "toys"}
            configs[about["experiment"]] = SGD
            free = 5 * np.exp(rng.normal(0, 0.5, len(SEEDS)))
            own = degrees * np.exp(rng.normal(0, 0.2, len(SEEDS)))
            for variant, angles in (("SVC", free + own if hard else own), ("S3", free)):
                rows = steps(rng, SCALED, [20, 1], variant=variant, svm_min_margin=1.0 if hard else 0.6, **about)
                tables.append(rows.assign(svm_to_s1_full_deg=angles[rows["seed"]]))
        return Evidence({CONVERGENCE: pd.concat(tables, ignore_index=True)}, configs)

    return draw


LEVEL = [30.0] * 12
# claim -> studies under no effect, under the claimed one, under the opposite one
TRUTHS = {
    "C1": (ending([20, 1.001, 1.001]), ending([20, 8, 0.8]), ending([20, 3, 3])),
    "C1m": (
        ending([20, 3, 3], [0.7, 0.99, 0.99]),
        ending([20, 8, 0.8], [0.7, 0.9, 0.995]),
        ending([20, 3, 3], [0.7, 0.95, 0.95]),
    ),
    "C1w": (
        turning(LEVEL, [0.5] * 12, noise=1.0),
        turning(np.linspace(40, 20, 12), np.linspace(0.1, 0.7, 12)),
        turning(np.linspace(20, 40, 12), np.linspace(0.7, 0.1, 12)),
    ),
    "C2": (biased(0.2, 0.2), biased(0.1, 0.3), biased(0.3, 0.1)),
    "R1": (rates(SCALED, r2=0.9), rates(SCALED), rates(SCALED, r2=0.5)),
    "R2": (rates(PLAIN, slope=-0.75), rates(PLAIN), rates(PLAIN, slope=-0.4)),
    "R3": (rates(PLAIN, growth=1.5), rates(PLAIN), rates(PLAIN, growth=0.8)),
    "R4": (slowly(3.0), slowly(17.0), slowly(1.0, noise=0.2)),
    "B5": (two_classes(1.1, 1.1), two_classes(0.05, 8.0), two_classes(2.0, 0.5)),
    "S": (compared(0.9), compared(20.0), compared(0.1)),
}


def test_every_claim_is_simulated():
    assert set(TRUTHS) == set(CLAIMS[PAPER])


@pytest.mark.parametrize("name", TRUTHS)
def test_no_effect_is_hardly_ever_supported(name):
    assert shares(PAPER, name, TRUTHS[name][0], 20)["supported"] <= 0.05


@pytest.mark.parametrize("name", TRUTHS)
def test_the_claimed_effect_is_supported(name):
    assert shares(PAPER, name, TRUTHS[name][1], 6)["supported"] >= 0.8


@pytest.mark.parametrize("name", TRUTHS)
def test_the_opposite_is_contradicted(name):
    assert shares(PAPER, name, TRUTHS[name][2], 6)["contradicted"] >= 0.8


RNG = np.random.default_rng(4)


@pytest.mark.parametrize("name", TRUTHS)
def test_one_seed_and_no_number_are_rows_that_say_so(name):
    made = TRUTHS[name][1](np.random.default_rng(1))
    one = Evidence({key: rows[rows["seed"] == 0] for key, rows in made.tables.items()}, made.configs)
    found = verdict(name, one)
    assert found.verdict == "undecided"
    assert "1 of the 5 seeds that an interval needs" in found.reason
    values = ["angle_full_deg", "margin_ratio", "beta_nn", "r2", "log_loss_per_log_step", "norm_per_log_step"]
    values += ["svm_to_s1_full_deg"]
    empty = {
        key: rows.assign(**dict.fromkeys([column for column in values if column in rows], np.nan))
        for key, rows in made.tables.items()
    }
    assert verdict(name, Evidence(empty, made.configs)).verdict in ("undecided", "not run")
    assert verdict(name, Evidence({})).verdict == "not run"


@pytest.mark.parametrize(
    "optim", [{"name": "adam", "weight_decay": 0.0}, {"name": "sgd", "weight_decay": 1e-4}], ids=["adam", "decay"]
)
def test_networks_with_another_limit_are_not_judged(optim):
    found = verdict("C1", evidence(steps(RNG, SCALED, [20, 8, 0.9]), config=SGD | {"optim": optim}))
    assert found.verdict == "not run"


def test_the_bias_hypothesis_says_how_far_both_arms_had_converged():
    whole = steps(RNG, "whole", [30], spread=0, losses=0.3).assign(step=100)
    # a seed whose layer could not be trained alone does not count
    whole.loc[whole["seed"] == 5, ["angle_full_deg", "n_times_loss"]] = np.nan, 200.0
    alone = steps(RNG, PLAIN, [12], spread=0, seeds=SEEDS[:5]).assign(fresh=True)
    found = verdict("C2", evidence(whole, alone, svm_bias=bias(RNG, 0.1, 0.3, seeds=SEEDS[:5])))
    assert "whole at 30 degrees, N loss 0.3, alone at 12 degrees" in found.reason
    assert found.parts[0].effect.over == "5 seeds"


@pytest.mark.parametrize("name", ["C1", "C1m"])
def test_what_is_still_on_its_way_is_left_out_and_counted(name):
    coming = steps(RNG, SCALED, [20, 9, 3], [0.7, 0.8, 0.97], seeds=(5,))
    there = steps(RNG, SCALED, [20, 8, 0.8], [0.7, 0.9, 0.995], seeds=SEEDS[:5])
    found = verdict(name, evidence(coming, there))
    assert found.verdict == "supported"
    assert found.parts[0].left_out.startswith("1 of 6 seeds end on the way")
    assert verdict(name, evidence(coming)).verdict == "undecided"


def test_features_that_no_layer_separates_are_counted():
    table = steps(RNG, SCALED, [20, 8, 0.8])
    table["separable"] = table["seed"] > 0
    (part,) = verdict("C1", evidence(table)).parts
    assert part.left_out == "1 of 6 seeds have features that no layer separates"
    assert part.effect.num_seeds == 5


def test_rates_before_the_limit_are_left_out_and_counted():
    found = verdict("R2", rates(PLAIN, angle=25.0, slope=-0.002)(RNG))
    assert found.verdict == "undecided"
    assert {part.left_out for part in found.parts} == {
        "6 of 6 seeds: steps end more than 10 degrees from S1, before rates hold"
    }


def test_a_comparator_at_s1_cannot_be_told_from_it():
    theirs = steps(RNG, SCALED, [30, 20], variant="SVC")
    theirs["svm_to_s1_full_deg"] = np.where(theirs["seed"] == 2, 0.9, 20.0)
    (part,) = verdict("S", evidence(steps(RNG, SCALED, [20, 0.9]), theirs)).parts
    assert part.left_out == "1 comparators within 1.1 degrees of S1"
    assert part.effect.num_seeds == 5


def test_agreement_of_predictions_is_no_evidence():
    agreeing = steps(RNG, SCALED, [20, 3, 3]).assign(agree_train=1.0, agree_test=1.0, agree_grid=1.0)
    assert verdict("C1", evidence(agreeing)).verdict == "contradicted"


def test_theorems_in_the_limit_check_the_implementation():
    table = judge(PAPER, ending([20, 8, 0.8])(RNG))
    assert set(table.loc[table["checks"], "claim"]) == {"C1", "C1m", "R1"}
    assert set(table.loc[table["primary"], "claim"]) == {"C1w"}
    assert set(table.loc[table["dataset"] == "cifar10", "part"]) == {"densenet40"}


def test_slack_decides_what_svc_is_compared_with():
    made = two_classes(0.01, 12.0)(np.random.default_rng(0))
    found = {part.label: part for part in verdict("B5", made).parts}
    assert found["without slack"].effect.value == pytest.approx(0.01, rel=0.3)
    assert found["with slack"].effect.value == pytest.approx(12, rel=0.3)
    assert [part.secondary for part in found.values()] == [False, False, True]
    rows = made.tables[CONVERGENCE]
    few = rows[(rows["svm_min_margin"] == 1) | (rows["seed"] < 3)]
    told = {part.label: part.secondary for part in verdict("B5", Evidence({CONVERGENCE: few}, made.configs)).parts}
    assert told == {"without slack": False, "with slack": True, "at S1": True}
    assert verdict("B5", Evidence({CONVERGENCE: rows[rows["variant"] == "SVC"]}, made.configs)).verdict == "not run"
