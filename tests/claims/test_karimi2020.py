"""Every rule of karimi2020 on made tables whose verdict is known: it holds, it does not, it is not tested."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence

PAIRS = [(1, 2), (2, 1), (4, 9), (9, 4)]
ALL = list(itertools.permutations(range(4), 2))
METHODS = ("deepdig", "real_ae1", "rpbs", "margin_bisect")
NOT_TRAINED = ("rpbs", "margin_bisect")


def about(arch, seed, measurement="deepdig-0", study="main"):
    return {
        "experiment": f"mnist-{arch}",
        "study": study,
        "dataset": "mnist",
        "arch": arch,
        "adv": "none",
        "training": "standard",
        "seed": seed,
        "measurement": measurement,
        "step": 10,
        "epoch": 1.0,
    }


def generation(*, pairs=PAIRS, archs=("cnn", "fcn"), seeds=(0, 1, 2), alphas=(0.8,), failed=(), spread=6.0, **methods):
    """A row a pair, method and alpha; keywords: a method's columns, such as rpbs={"success_rate": 0.7}."""
    rows = []
    for arch, seed, (s, t), method in itertools.product(archs, seeds, pairs, METHODS):
        jitter = 0.002 * np.random.default_rng([seed, s, t]).normal()
        for alpha in alphas if method == "deepdig" else alphas[:1]:
            row = {
                "success_rate": {"rpbs": 0.7}.get(method, 0.99) + jitter,
                "p_sum_mean": {"deepdig": 0.99, "real_ae1": 0.98}.get(method, 0.9) + jitter,
                "distance_common": {"deepdig": 3.0, "real_ae1": 2.5, "margin_bisect": 1.0}.get(method, 4.0) + jitter,
                "distance_median": 2.0 + alpha + jitter,
                "num_common": 50,
                "num_correct": 100,
                "status": "stage 1: collapsed" if (s, t) in failed and method == "deepdig" else "ok",
                "spread": spread - alpha + jitter,
            } | methods.get(method, {})
            if callable(row["success_rate"]):
                row["success_rate"] = row["success_rate"](s, t)
            row["num_success"] = 0 if row["status"] != "ok" else round(100 * row["success_rate"])
            named = {"source": s, "target": t, "method": method}
            rows.append(about(arch, seed) | named | {"alpha": np.nan if method in NOT_TRAINED else alpha} | row)
    return {"generation": pd.DataFrame(rows)}


def idc(*, archs=("cnn", "fcn"), seeds=(0, 1, 2), cnn=1.4, fcn=0.8, hysteresis=0.06):
    rows = []
    for arch, seed, (s, t), grid in itertools.product(archs, seeds, PAIRS, (50, 200)):
        flips = {"cnn": cnn, "fcn": fcn}[arch] + 0.01 * np.random.default_rng([seed, s]).normal() + (grid == 200)
        row = {"source": s, "target": t, "method": "deepdig", "alpha": 0.8, "grid": grid}
        if grid == 50 or (s, t) == PAIRS[0]:
            rows.append(about(arch, seed) | row | {"flips": flips, "hysteresis": hysteresis * flips})
    return {"idc": pd.DataFrame(rows)}


def edc(*, archs=("cnn", "fcn"), seeds=(0, 1, 2), borderline_acc=0.5, borderline=0.4, own=1e-5):
    rows = []
    for arch, seed, (s, t), plane in itertools.product(archs, seeds, [(1, 2), (4, 9)], ("svm", "own")):
        jitter = 0.001 * np.random.default_rng([seed, s, t]).normal()
        for split, acc, near in (("train", 1.0, 0.88), ("borderline", borderline_acc, borderline)):
            distance = 4.0 if split == "train" else own * 4
            row = {
                "source": s,
                "target": t,
                "plane": plane,
                "split": split,
                "acc": acc + jitter,
                "N_all": near + jitter,
            }
            rows.append(about(arch, seed) | row | {"D_all": distance * (1 + jitter)})
    return {"edc": pd.DataFrame(rows)}


def verdict(name, *tables):
    merged = {key: frame for table in tables for key, frame in table.items()}
    return CLAIMS["karimi2020"][name].rule(Evidence(merged))


SWEEP = (0.8, 0.05, 3.0)
HOLDING = {
    "K1": lambda: verdict("K1", generation()),
    "K2": lambda: verdict("K2", generation()),
    "K3": lambda: verdict("K3", generation(pairs=ALL)),
    "K4": lambda: verdict("K4", generation()),
    "K5": lambda: verdict("K5", generation()),
    "K6": lambda: verdict("K6", generation()),
    "K7": lambda: verdict("K7", idc()),
    "K8": lambda: verdict("K8", idc(), generation()),
    "K9": lambda: verdict("K9", edc()),
    "K10": lambda: verdict("K10", edc()),
    "K11": lambda: verdict("K11", edc()),
    "K12": lambda: verdict("K12", generation(alphas=SWEEP)),
}

FAILING = {
    "K1": lambda: verdict("K1", generation(failed=PAIRS[:1])),
    "K2": lambda: verdict("K2", generation(rpbs={"success_rate": 0.999})),
    "K3": lambda: verdict("K3", generation(pairs=ALL, rpbs={"success_rate": lambda s, t: 1.0 if s == 0 else 0.7})),
    "K4": lambda: verdict("K4", generation(margin_bisect={"p_sum_mean": 0.999})),
    "K5": lambda: verdict("K5", generation(margin_bisect={"distance_common": 3.5})),
    "K6": lambda: verdict("K6", generation(real_ae1={"distance_common": 3.2})),
    "K7": lambda: verdict("K7", idc(hysteresis=0.7)),
    "K8": lambda: verdict("K8", idc(cnn=0.7), generation()),
    "K9": lambda: verdict("K9", edc(borderline_acc=0.97)),
    "K10": lambda: verdict("K10", edc(borderline=0.95)),
    "K11": lambda: verdict("K11", edc(own=0.1)),
    "K12": lambda: verdict("K12", generation(alphas=SWEEP, deepdig={"distance_median": 2.0})),
}

UNTESTABLE = {
    "K1": lambda: verdict("K1", generation(deepdig={"num_correct": 0})),
    "K2": lambda: verdict("K2", generation(failed=PAIRS)),
    "K3": lambda: verdict("K3", generation()),
    "K4": lambda: verdict("K4", generation(seeds=(0,), pairs=PAIRS[:1], failed=PAIRS)),
    "K5": lambda: verdict("K5", generation(deepdig={"num_common": 5})),
    "K6": lambda: verdict("K6", generation(real_ae1={"num_common": 5})),
    "K7": lambda: verdict("K7", idc(cnn=np.nan, fcn=np.nan)),
    "K8": lambda: verdict("K8", idc(archs=("cnn",)), generation()),
    "K9": lambda: verdict("K9", edc(borderline_acc=np.nan)),
    "K10": lambda: verdict("K10", edc(borderline=np.nan)),
    "K11": lambda: verdict("K11", edc(own=np.nan)),
    "K12": lambda: verdict("K12", generation()),
}


def test_every_claim_is_tried_all_three_ways():
    assert set(CLAIMS["karimi2020"]) == set(HOLDING) == set(FAILING) == set(UNTESTABLE)


@pytest.mark.parametrize("name", HOLDING)
def test_it_holds_where_it_should(name):
    found = HOLDING[name]()
    assert found.verdict == "holds", found.reason
    assert found.estimate.low <= found.estimate.value <= found.estimate.high


@pytest.mark.parametrize("name", FAILING)
def test_it_does_not_hold_where_it_should_not(name):
    found = FAILING[name]()
    assert found.verdict == "does not hold", found.reason


@pytest.mark.parametrize("name", UNTESTABLE)
def test_too_few_data_are_not_tested(name):
    found = UNTESTABLE[name]()
    assert found.verdict == "not tested", found.reason
    assert found.reason


@pytest.mark.parametrize("name", CLAIMS["karimi2020"])
def test_no_run_at_all_is_not_tested(name):
    assert verdict(name).verdict == "not tested"


def test_values_are_those_of_the_made_tables():
    assert verdict("K2", generation()).estimate.value == pytest.approx(0.29)
    assert verdict("K5", generation()).estimate.value == pytest.approx(1 / 3, abs=0.01)
    assert verdict("K7", idc()).estimate.value == pytest.approx(0.06)
    assert verdict("K3", generation(pairs=ALL)).estimate.value == 1


def test_one_seed_has_an_interval_over_pairs():
    uneven = generation(seeds=(0,), rpbs={"success_rate": lambda s, t: 0.6 + 0.03 * s})
    found = verdict("K2", uneven).estimate
    assert found.over == "1 seed, 4 ordered pairs"
    assert found.low < found.value < found.high


def test_a_failed_pair_counts_against_the_method_but_not_against_its_points():
    made = generation(failed=PAIRS[:1])
    assert verdict("K1", made).estimate.value == pytest.approx(0.75 * 0.99, abs=0.01)
    assert verdict("K2", made).verdict == "holds"


def test_of_overlapping_measurements_the_one_with_fewer_pairs_counts():
    few = generation()["generation"]
    many = generation(pairs=[*PAIRS, (0, 1), (1, 0)], rpbs={"success_rate": 1.0})["generation"]
    both = pd.concat([few, many.assign(measurement="a-all")])
    # the six pairs of the one, four of which the other has too
    expected = (4 * 0.29 + 2 * (0.99 - 1.0)) / 6
    assert verdict("K2", {"generation": both}).estimate.value == pytest.approx(expected, abs=0.01)


def test_the_probes_last_moment_counts():
    rows = generation()["generation"].drop(columns="measurement")
    early = rows.assign(step=0, success_rate=0.1)
    found = verdict("K2", {"generation": pd.concat([early, rows])})
    assert found.estimate.value == pytest.approx(0.29)
