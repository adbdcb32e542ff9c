"""Every rule on made tables whose verdict is known: where it holds, where it does not, and on too few data."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence

SEEDS = (0, 1, 2)
SGD = {"dataset": {"name": "digits"}, "optim": {"name": "sgd", "weight_decay": 0.0}, "training": {}}
IDENTITY = {"study": "main", "dataset": "digits", "arch": "mlp", "adv": "none", "training": "standard"}


def rows(stage, *, angles, ratios=None, norms=None, losses=None, seeds=SEEDS, variant="S1", **more):
    """`svm_convergence`: a checkpoint for each angle, which differ a little by seed."""
    steps = np.arange(len(angles))
    whole = stage == "whole"
    table = {
        "step": 10 * steps if whole else 100,
        "epoch": 1.0 * steps,
        "stage": stage,
        "stage_step": 0 if whole else 10**steps,
        "fresh": False,
        "rescaled": False,
        "variant": variant,
        "separable": True,
        "angle_full_deg": np.array(angles, dtype=float),
        "margin_ratio": np.array(ratios if ratios is not None else [0.995] * len(angles)),
        "w_norm_centred": np.array(norms if norms is not None else 1.0 + steps),
        "n_times_loss": np.array(losses if losses is not None else [0.5] * len(angles)),
        **IDENTITY,
        "experiment": "digits-mlp-none-1",
        **more,
    }
    parts = [pd.DataFrame(table).assign(seed=seed) for seed in seeds]
    return pd.concat([part.assign(angle_full_deg=part["angle_full_deg"] * (1 + 0.01 * part["seed"])) for part in parts])


def bias(whole, alone, seeds=SEEDS, spread=0.002):
    """`svm_bias`: one pair of classes; how far from midway both arms are."""
    parts = []
    for seed in seeds:
        arms = (("whole", False, whole, 0), ("last_only", True, 0.5, 1), ("last_only", True, alone, 9))
        for stage, fresh, off, at in arms:
            about = {"step": 100, "stage": stage, "fresh": fresh, "rescaled": False, "stage_step": at}
            beta = {"class_i": 0, "class_j": 1, "beta_nn": 0.5 - off + (spread * seed if at == 9 else 0)}
            parts.append({**IDENTITY, "experiment": "digits-mlp-none-1", "seed": seed, **about, **beta})
    return pd.DataFrame(parts)


def fits(stage, *, r2=0.99, slope=-1.0, growth=2.0, seeds=SEEDS):
    table = {"step": 100, "stage": stage, "fresh": False, "rescaled": False, "variant": "S1", "svm_norm": 2.0}
    values = {"r2": r2, "log_loss_per_log_step": slope, "norm_per_log_step": growth}
    about = {**IDENTITY, "experiment": "digits-mlp-none-1"}
    noise = {name: value * np.array([1, 1.001, 0.999])[: len(seeds)] for name, value in values.items()}
    return pd.DataFrame({"seed": list(seeds), **noise}).assign(**table, **about)


def verdict(name, *convergence, config=SGD, **tables):
    if convergence:
        tables["svm_convergence"] = pd.concat(convergence, ignore_index=True)
    return CLAIMS["li2018"][name].rule(Evidence(tables, {"digits-mlp-none-1": config}))


SCALED = "last_only_loss_scaled"
NEAR = rows(SCALED, angles=[20, 8, 0.9], ratios=[0.7, 0.9, 0.995])
FAR = rows(SCALED, angles=[20, 3, 3], ratios=[0.7, 0.97, 0.97])
COMING = rows(SCALED, angles=[20, 9, 3], ratios=[0.7, 0.8, 0.97])
OVR_FAR, OVR_NEAR = (rows(SCALED, angles=[20, 20, last], variant="OvR") for last in (20, 0.1))
TURNING = rows("whole", angles=[40, 35, 30, 28, 27], ratios=[0.1, 0.3, 0.5, 0.6, 0.7])
LEAVING = rows("whole", angles=[27, 28, 30, 35, 40], ratios=[0.7, 0.6, 0.5, 0.3, 0.1])
PLAIN = rows("last_only", angles=[20, 18, 17])
FIT, BIAS = "svm_rate_fit", "svm_bias"

HOLDING = {
    "C1": lambda: verdict("C1", NEAR),
    "C1m": lambda: verdict("C1m", NEAR),
    "C1w": lambda: verdict("C1w", TURNING),
    "C2": lambda: verdict("C2", NEAR, **{BIAS: bias(0.1, 0.3)}),
    "R1": lambda: verdict("R1", **{FIT: fits(SCALED)}),
    "R2": lambda: verdict("R2", **{FIT: fits("last_only")}),
    "R3": lambda: verdict("R3", **{FIT: fits("last_only")}),
    "R4": lambda: verdict("R4", NEAR, PLAIN),
    "S": lambda: verdict("S", NEAR, OVR_FAR),
}
FAILING = {
    "C1": lambda: verdict("C1", FAR),
    "C1m": lambda: verdict("C1m", FAR),
    "C1w": lambda: verdict("C1w", LEAVING),
    "C2": lambda: verdict("C2", NEAR, **{BIAS: bias(0.3, 0.1)}),
    "R1": lambda: verdict("R1", **{FIT: fits(SCALED, r2=0.4)}),
    "R2": lambda: verdict("R2", **{FIT: fits("last_only", slope=-0.4)}),
    "R3": lambda: verdict("R3", **{FIT: fits("last_only", growth=0.8)}),
    "R4": lambda: verdict("R4", FAR, rows("last_only", angles=[20, 2, 1])),
    "S": lambda: verdict("S", NEAR, OVR_NEAR),
}
UNTESTABLE = {
    "C1": lambda: verdict("C1", NEAR.assign(separable=False)),
    "C1m": lambda: verdict("C1m", NEAR.assign(stage="accelerated")),
    "C1w": lambda: verdict("C1w", TURNING[TURNING["step"] <= 20]),
    "C2": lambda: verdict("C2", NEAR, **{BIAS: bias(0.2, 0.2, spread=0.1)}),
    "R1": lambda: verdict("R1", **{FIT: fits(SCALED, seeds=(0,))}),
    "R2": lambda: verdict("R2", **{FIT: fits(SCALED)}),
    "R3": lambda: verdict("R3"),
    "R4": lambda: verdict("R4", NEAR),
    "S": lambda: verdict("S", FAR.assign(angle_full_deg=30.0), OVR_FAR),
}


def test_every_claim_is_tried_all_three_ways():
    assert set(HOLDING) == set(FAILING) == set(UNTESTABLE) == set(CLAIMS["li2018"])


@pytest.mark.parametrize("name", HOLDING)
def test_holds(name):
    found = HOLDING[name]()
    assert found.verdict == "holds", found.reason


@pytest.mark.parametrize("name", FAILING)
def test_does_not_hold(name):
    found = FAILING[name]()
    assert found.verdict == "does not hold", found.reason


@pytest.mark.parametrize("name", UNTESTABLE)
def test_not_tested(name):
    found = UNTESTABLE[name]()
    assert found.verdict == "not tested", found.reason


@pytest.mark.parametrize(
    "optim", [{"name": "adam", "weight_decay": 0.0}, {"name": "sgd", "weight_decay": 1e-4}], ids=["adam", "decay"]
)
def test_networks_with_another_limit_are_not_judged(optim):
    assert verdict("C1", NEAR, config=SGD | {"optim": optim}).verdict == "not tested"


def test_the_bias_hypothesis_says_how_far_both_arms_had_converged():
    whole = rows("whole", angles=[30], losses=[0.3], seeds=(0, 1, 2, 3)).assign(step=100)
    # a seed whose layer could not be trained alone does not count
    whole.loc[whole["seed"] == 3, ["angle_full_deg", "n_times_loss"]] = np.nan, 200.0
    table = pd.concat([whole, rows("last_only", angles=[12]).assign(fresh=True)])
    found = verdict("C2", table, **{BIAS: bias(0.1, 0.3)})
    assert "whole at 30.3 degrees, N loss 0.3, alone at 12.1 degrees" in found.reason
    assert found.estimate.over == "3 seeds"


@pytest.mark.parametrize("name", ["C1", "C1m"])
def test_what_is_still_on_its_way_has_not_failed(name):
    found = verdict(name, COMING)
    assert (found.verdict, found.estimate.known) == ("not tested", True)
    assert "unconverged" in found.reason
    stuck = COMING[COMING["seed"] > 0]
    mixed = verdict(name, stuck, FAR[FAR["seed"] == 0])
    assert mixed.verdict == "does not hold"


def test_agreement_of_predictions_is_no_evidence():
    agreeing = FAR.assign(agree_train=1.0, agree_test=1.0, agree_grid=1.0, jaccard_margin=1.0)
    assert verdict("C1", agreeing).verdict == "does not hold"
