"""Every rule of karimi2020 on simulated studies whose truth is known: no effect, the claimed one, the opposite."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge

from .simulated import shares

PAPER = "karimi2020"
SEEDS = tuple(range(6))
PAIRS = [(1, 2), (2, 1), (4, 9), (9, 4), (3, 5), (5, 3)]
ALL = list(itertools.permutations(range(6), 2))
# fewer pairs than the study has cannot show 85 of 90 even where all are won
NINETY = list(itertools.permutations(range(10), 2))
METHODS = ("deepdig", "real_ae1", "rpbs", "margin_bisect")
NOT_TRAINED = ("rpbs", "margin_bisect")


def crossed(seeds, pairs, *more):
    """Architecture, seed, pair and further levels in every combination: columns, and noise for each seed and pair."""
    rows = list(itertools.product(("cnn", "fcn"), seeds, pairs, *more))
    frame = pd.DataFrame(
        {"arch": [row[0] for row in rows], "seed": [row[1] for row in rows]}
        | {"source": [row[2][0] for row in rows], "target": [row[2][1] for row in rows]}
        | {f"level{i}": [row[3 + i] for row in rows] for i in range(len(more))}
    )
    about = {"experiment": "mnist-" + frame["arch"], "study": "main", "dataset": "mnist", "adv": "none"}
    about |= {"training": "standard", "measurement": "deepdig-0", "step": 10, "epoch": 1.0}
    return frame.assign(**about)


def jitter(rng, frame, seeds=0.01, pairs=0.01):
    """Noise of the seed, and of the pair, which the seeds share."""
    by_seed = dict(enumerate(rng.normal(0, seeds, 100)))
    by_pair = dict(zip(itertools.product(range(10), repeat=2), rng.normal(0, pairs, 100), strict=True))
    own = frame["seed"].map(by_seed) + rng.normal(0, 0.005, len(frame))
    return own + [by_pair[pair] for pair in zip(frame["source"], frame["target"], strict=True)]


def generation(
    rng, *, pairs=PAIRS, seeds=SEEDS, alphas=(0.8,), failed=(), success=None, common=None, sums=None, grows=1.0
):
    """A row a pair, method and alpha; success, common, sums: of a method its success rate, distance, p_s + p_t."""
    frame = crossed(seeds, pairs, METHODS, alphas).rename(columns={"level0": "method", "level1": "alpha"})
    frame = frame[(frame["method"] == "deepdig") | (frame["alpha"] == alphas[0])]
    method, noise = frame["method"], jitter(rng, frame)
    rate = method.map({"deepdig": 0.98, "real_ae1": 0.98, "rpbs": 0.7, "margin_bisect": 0.98} | (success or {}))
    sizes = method.map({"deepdig": 3.0, "real_ae1": 2.5, "margin_bisect": 1.0, "rpbs": 4.0} | (common or {}))
    whole = method.map({"deepdig": 0.98, "real_ae1": 0.97, "margin_bisect": 0.9, "rpbs": 0.9} | (sums or {}))
    is_failed = [pair in failed for pair in zip(frame["source"], frame["target"], strict=True)]
    status = np.where(np.array(is_failed) & (method == "deepdig"), "stage 1: collapsed", "ok")
    rate = (rate + noise).clip(0, 1)
    return frame.assign(
        alpha=frame["alpha"].where(~method.isin(NOT_TRAINED)),
        success_rate=rate,
        p_sum_mean=whole + noise / 5,
        distance_common=sizes * np.exp(noise + rng.normal(0, 0.02, len(frame))),
        distance_median=2 * frame["alpha"] ** (0.2 * grows) * np.exp(noise),
        spread=6 * frame["alpha"] ** (-0.1 * grows) * np.exp(noise),
        num_common=50,
        num_correct=100,
        num_success=np.where(status == "ok", (100 * rate).round(), 0),
        status=status,
    )


def idc(rng, *, seeds=SEEDS, more=0.6, hysteresis=0.06):
    frame = crossed(seeds, PAIRS).assign(method="deepdig", alpha=0.8, grid=50)
    flips = 0.8 + more * (frame["arch"] == "cnn") + jitter(rng, frame, 0.05, 0.05)
    own = hysteresis * flips * np.exp(rng.normal(0, 0.05, len(frame)))
    return frame.assign(flips=flips, first_step=0.4 * flips, hysteresis=own)


def edc(rng, *, seeds=SEEDS, lost=0.5, nearer=0.4, own=1e-5):
    frame = crossed(seeds, PAIRS[::2], ("svm", "own"), ("train", "borderline"))
    frame = frame.rename(columns={"level0": "plane", "level1": "split"})
    at_border = frame["split"] == "borderline"
    noise = jitter(rng, frame) + rng.normal(0, 0.01, len(frame))
    distance = np.where(at_border, 4 * own, 4.0) * np.exp(noise)
    return frame.assign(acc=1 - lost * at_border + noise, N_all=0.9 - nearer * at_border + noise, D_all=distance)


def of(**how):
    return lambda rng: Evidence({"generation": generation(rng, **how)})


def flipping(**how):
    return lambda rng: Evidence({"idc": idc(rng, **how), "generation": generation(rng)})


def planes(**how):
    return lambda rng: Evidence({"edc": edc(rng, **how)})


def one_in(rng, share):
    """On so many of all pairs deepdig has less than rpbs."""
    table = generation(rng, pairs=ALL)
    own = {pair: rng.random() < share for pair in ALL}
    is_lost = np.array([own[pair] for pair in zip(table["source"], table["target"], strict=True)])
    is_own = table["method"] == "deepdig"
    return Evidence({"generation": table.assign(num_success=np.where(is_lost & is_own, 30, table["num_success"]))})


SWEEP = (0.8, 0.05, 3.0)
# claim -> studies under no effect, under the claimed one, under the opposite one
TRUTHS = {
    "K1": (of(pairs=ALL, success={"deepdig": 0.9}), of(pairs=ALL), of(pairs=ALL, success={"deepdig": 0.7})),
    "K2": (of(success={"rpbs": 0.98}), of(), of(success={"deepdig": 0.5})),
    "K3": (lambda rng: one_in(rng, 0.07), of(pairs=NINETY), lambda rng: one_in(rng, 0.5)),
    "K4": (of(sums={"deepdig": 0.9}), of(), of(sums={"deepdig": 0.8})),
    "K5": (of(common={"margin_bisect": 3.0}), of(), of(common={"margin_bisect": 4.0})),
    "K6": (of(common={"real_ae1": 3.0}), of(), of(common={"real_ae1": 4.0})),
    "K7": (flipping(hysteresis=0.5), flipping(), flipping(hysteresis=0.8)),
    "B4": (flipping(hysteresis=1 / 3), flipping(hysteresis=0.15), flipping(hysteresis=0.7)),
    "K8": (flipping(more=0.0), flipping(), flipping(more=-0.5)),
    "K9": (planes(lost=0.25), planes(), planes(lost=0.05)),
    "K10": (planes(nearer=0.0), planes(), planes(nearer=-0.3)),
    "K11": (planes(own=1e-3), planes(), planes(own=0.1)),
    "K12": (of(alphas=SWEEP, grows=0.0), of(alphas=SWEEP), of(alphas=SWEEP, grows=-1.0)),
}


def verdict(name, found):
    return CLAIMS[PAPER][name].rule(found)


def test_every_claim_is_simulated():
    assert set(CLAIMS[PAPER]) == set(TRUTHS)


@pytest.mark.parametrize("name", TRUTHS)
def test_no_effect_is_hardly_ever_supported(name):
    assert shares(PAPER, name, TRUTHS[name][0], 5)["supported"] <= 0.05


@pytest.mark.parametrize("name", TRUTHS)
def test_the_claimed_effect_is_supported(name):
    assert shares(PAPER, name, TRUTHS[name][1], 4)["supported"] >= 0.8


@pytest.mark.parametrize("name", TRUTHS)
def test_the_opposite_is_contradicted(name):
    assert shares(PAPER, name, TRUTHS[name][2], 3)["contradicted"] >= 0.8


RNG = np.random.default_rng(2)


@pytest.mark.parametrize("name", TRUTHS)
def test_one_seed_and_no_number_are_rows_that_say_so(name):
    made = TRUTHS[name][1](np.random.default_rng(1))
    found = verdict(name, Evidence({key: rows[rows["seed"] == 0] for key, rows in made.tables.items()}))
    assert found.verdict == "undecided"
    assert "1 of the 5 seeds that an interval needs" in found.reason
    values = ["success_rate", "num_success", "p_sum_mean", "distance_common", "distance_median", "flips", "acc"]
    values += ["N_all", "D_all"]
    empty = {
        key: rows.assign(**dict.fromkeys([column for column in values if column in rows], np.nan))
        for key, rows in made.tables.items()
    }
    assert verdict(name, Evidence(empty)).verdict in ("undecided", "not run")
    assert verdict(name, Evidence({})).verdict == "not run"


def test_values_are_those_of_the_made_tables():
    assert verdict("K2", of()(RNG)).parts[0].effect.value == pytest.approx(0.28, abs=0.02)
    assert verdict("K5", of()(RNG)).parts[0].effect.value == pytest.approx(1 / 3, abs=0.02)
    assert verdict("K7", flipping()(RNG)).parts[0].effect.value == pytest.approx(0.06, abs=0.01)
    all_pairs = verdict("K3", of(pairs=ALL)(RNG)).parts[0].effect
    assert (all_pairs.value, all_pairs.high) == (1, 1)
    assert all_pairs.low == pytest.approx(0.025 ** (1 / len(ALL)))


def test_all_directions_count_and_seeds_that_lack_some_are_left_out():
    table = generation(RNG, pairs=ALL)
    some = table[(table["seed"] < 5) | (table["source"] < 2)]
    found = {part.label: part for part in verdict("K1", Evidence({"generation": some})).parts}
    assert found["cnn, all pairs"].effect.num_seeds == 5
    assert found["cnn, all pairs"].left_out == "1 seeds did not measure all ordered pairs (5)"
    assert found["cnn, pairs of all seeds"].secondary
    assert found["cnn, pairs of all seeds"].left_out == "20 ordered pairs that not all seeds have"


def test_networks_measured_on_fewer_pairs_are_parts_of_all_claims_but_those_of_all_pairs():
    made = generation(np.random.default_rng(0))
    fewer = made[made["arch"] == "cnn"].assign(study="convolutional")
    evidence = Evidence({"generation": pd.concat([made[made["arch"] != "cnn"], fewer])})
    by_study = {name: {part.label.split(",")[0] for part in verdict(name, evidence).parts} for name in ("K1", "K2")}
    assert "cnn" in by_study["K2"]
    assert "cnn" not in by_study["K1"] and "fcn" in by_study["K1"]


def test_a_win_needs_instances():
    table = generation(RNG, pairs=ALL)
    is_none = (table["source"] == 0) & table["method"].isin(["deepdig", "rpbs"])
    found = verdict("K3", Evidence({"generation": table.assign(num_success=table["num_success"].where(~is_none, 0))}))
    assert found.parts[0].effect.value == pytest.approx(25 / 30)


def test_a_failed_pair_counts_against_the_method_but_not_against_its_points():
    made = of(pairs=ALL, failed=ALL[:3])(RNG)
    assert verdict("K1", made).parts[0].effect.value == pytest.approx(0.9 * 0.98, abs=0.02)
    assert verdict("K2", made).verdict == "supported"
    assert "3 ordered pairs" not in verdict("K1", made).parts[0].left_out
    assert verdict("K1", made).reason.startswith("cnn: no instance of 0→1, 0→2, 0→3 of all seeds (stage 1: collapsed)")


def test_a_failed_pair_of_one_seed_is_left_out_of_all_and_counted():
    made = generation(RNG)
    is_failed = (made["seed"] == 1) & (made["source"] == 1) & (made["method"] == "deepdig")
    lost = made["num_success"].where(~is_failed, 0)
    made = made.assign(status=made["status"].where(~is_failed, "failed"), num_success=lost)
    found = verdict("K2", Evidence({"generation": made}))
    assert "cnn: no instance of 1→2 of seed 1 (failed)" in verdict("K1", Evidence({"generation": made})).reason
    assert {part.left_out for part in found.parts} == {"1 ordered pairs that not all seeds have"}


def test_the_probes_last_moment_counts():
    rows = generation(RNG)
    early = rows.assign(step=0, success_rate=0.1)
    found, same = (verdict("K2", Evidence({"generation": one})) for one in (pd.concat([early, rows]), rows))
    assert [part.effect for part in found.parts] == [part.effect for part in same.parts]


def test_what_checks_the_implementation_and_what_nobody_ran_is_listed_apart():
    table = judge(PAPER, planes()(RNG))
    assert set(table.loc[table["checks"], "claim"]) == {"K11"}
    assert set(table.loc[table["dataset"] == "cifar10", "part"]) == {"resnet34", "googlenet"}
    assert set(table.loc[table["whose"] == "abstract", "claim"]) == {"K1"}


def test_noise_of_the_ends_is_told_at_the_authors_settings_alone():
    found = verdict("B4", flipping(hysteresis=0.15)(RNG))
    values = {part.label: part.effect.value for part in found.parts if part.label.startswith("fcn")}
    assert values["fcn"] == pytest.approx(0.85, abs=0.01)
    assert values["fcn, first_step"] == pytest.approx(0.4, abs=0.01)
    assert values["fcn, flips"] == pytest.approx(1 - 0.5 / 0.8, abs=0.1)
    assert [part.secondary for part in found.parts] == [False, False, True, True, True, True]
    tables = flipping()(RNG).tables
    for column, value in (("grid", 200), ("alpha", 3.0)):
        other = Evidence(tables | {"idc": tables["idc"].assign(**{column: value})})
        assert verdict("B4", other).verdict == "not run"
