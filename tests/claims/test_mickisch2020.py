"""Every rule on made tables whose verdict is known: where it holds, where it does not, and on too few data."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence

EPOCHS = [0, 1, 2, 4, 8, 12, 20, 40]
RISE = [0.2, 0.8, 1.0, 0.95, 0.9, 0.8, 0.7, 0.5]
LEVEL = [0.2, 0.8, 1.0, 1.0, 1.0, 1.01, 1.02, 1.03]
GROWS = [0.2, 0.5, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6]
NUM_IMAGES = 120
NUM_WRONG = 30


def margins(
    curve, *, training="standard", study="main", seeds=(0, 1, 2), scale=1.0, wrong=0.3, wrong_curve=None, noise=0.02
):
    """A table `margins` whose mean follows `curve`; the last NUM_WRONG images are misclassified, at `wrong` of it."""
    parts = []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        image = np.arange(NUM_IMAGES)
        is_wrong = image >= NUM_IMAGES - NUM_WRONG
        spread = generator.uniform(0.5, 1.5, NUM_IMAGES)
        for step, (epoch, mean, mean_wrong) in enumerate(zip(EPOCHS, curve, wrong_curve or curve, strict=True)):
            value = np.where(is_wrong, wrong * mean_wrong, mean) * spread * scale * (1 + noise * generator.normal())
            for split in ("train", "test"):
                for norm in ("l2", "linf"):
                    parts.append(
                        pd.DataFrame(
                            {
                                "experiment": f"fashion_mnist-{training}-{study}".replace(" ", "_"),
                                "study": study,
                                "dataset": "fashion_mnist",
                                "training": training,
                                "seed": seed,
                                "step": step,
                                "epoch": float(epoch),
                                "split": split,
                                "index": image,
                                "correct": ~is_wrong,
                                # correct images: confidence follows the margin; misclassified: it does not
                                "confidence": np.where(
                                    is_wrong, generator.uniform(0.5, 1, NUM_IMAGES), 0.9 + 0.06 * spread
                                ),
                                "norm": norm,
                                "clipped": False,
                                "estimator": "deepfool",
                                "margin": value,
                                "success": True,
                            }
                        )
                    )
    return pd.concat(parts, ignore_index=True)


def history(*, seeds=(0, 1, 2), learnt_at=12, test_accuracy=0.85, robust_accuracy=0.1):
    rows = [
        {
            "experiment": "x",
            "study": "main",
            "dataset": "fashion_mnist",
            "training": "standard",
            "seed": seed,
            "step": step,
            "epoch": float(epoch),
            "train_accuracy": 0.995 if epoch >= learnt_at else 0.8,
            "test_accuracy": test_accuracy + 0.001 * seed,
            "robust_accuracy": robust_accuracy + 0.002 * seed,
            "robust_norm": "linf",
            "robust_eps": 0.1,
        }
        for seed in seeds
        for step, epoch in enumerate(EPOCHS)
    ]
    return pd.DataFrame(rows)


def verdict(name, *margin_tables, **tables):
    if margin_tables:
        tables["margins"] = pd.concat(margin_tables, ignore_index=True)
    return CLAIMS["mickisch2020"][name].rule(Evidence(tables))


FALLING, GROWING = margins(RISE), margins(GROWS)
ADVERSARIAL = margins(LEVEL, training="pgd linf", scale=3)
CONTROLS = [margins(RISE, study=f"control: {name}", scale=s) for name, s in (("a", 0.9), ("b", 1.1), ("c", 1.2))]
L2 = margins(LEVEL, training="pgd l2", study="transfer", scale=2)

HOLDING = {
    "C1": lambda: verdict("C1", FALLING),
    "C2": lambda: verdict("C2", FALLING, history=history()),
    "C3": lambda: verdict("C3", FALLING, ADVERSARIAL),
    "C4": lambda: verdict("C4", FALLING),
    "C5": lambda: verdict("C5", FALLING, ADVERSARIAL),
    "C6": lambda: verdict("C6", **{"estimator_check": estimator_check(RISE, RISE)}),
    "C7": lambda: verdict("C7", FALLING, ADVERSARIAL, *CONTROLS),
    "F1": lambda: verdict("F1", FALLING),
    "F2": lambda: verdict("F2", history=history()),
    "F3": lambda: verdict("F3", FALLING, ADVERSARIAL),
    "F4": lambda: verdict("F4", FALLING, margins(LEVEL, training="pgd linf", wrong_curve=RISE)),
    "F5": lambda: verdict("F5", FALLING, ADVERSARIAL, L2),
    "F6": lambda: verdict("F6", FALLING),
    "F7": lambda: verdict("F7", FALLING, *CONTROLS),
}

FAILING = {
    "C1": lambda: verdict("C1", GROWING),
    "C2": lambda: verdict("C2", GROWING, history=history()),
    "C3": lambda: verdict("C3", FALLING, margins(RISE, training="pgd linf")),
    "C4": lambda: verdict("C4", GROWING),
    "C5": lambda: verdict("C5", margins(RISE, wrong=0.9)),
    "C6": lambda: verdict("C6", **{"estimator_check": estimator_check(RISE, GROWS)}),
    "C7": lambda: verdict("C7", FALLING, ADVERSARIAL, *CONTROLS, margins(RISE, study="control: d", scale=6)),
    "F1": lambda: verdict("F1", GROWING),
    "F2": lambda: verdict("F2", history=history(robust_accuracy=0.7)),
    "F3": lambda: verdict("F3", FALLING, margins(RISE, training="pgd linf")),
    "F4": lambda: verdict("F4", margins(RISE, wrong_curve=GROWS)),
    "F5": lambda: verdict("F5", FALLING, ADVERSARIAL, margins(RISE, training="pgd l2", scale=0.5)),
    "F6": lambda: verdict("F6", FALLING.assign(confidence=0.5 + FALLING["margin"] / 10)),
    "F7": lambda: verdict("F7", FALLING, *CONTROLS, margins(GROWS, study="control: d")),
}

UNTESTABLE = {
    "C1": lambda: verdict("C1", FALLING[FALLING["epoch"] <= 8]),
    "C2": lambda: verdict("C2", FALLING, history=history(learnt_at=100)),
    "C3": lambda: verdict("C3", FALLING),
    "C4": lambda: verdict("C4"),
    "C5": lambda: verdict("C5", FALLING[FALLING["index"] < NUM_IMAGES - NUM_WRONG + 10]),
    "C6": lambda: verdict("C6", **{"estimator_check": estimator_check(RISE, RISE).query("epoch > 12")}),
    "C7": lambda: verdict("C7", FALLING, ADVERSARIAL, CONTROLS[0]),
    "F1": lambda: verdict("F1", FALLING[FALLING["epoch"] <= 4]),
    "F2": lambda: verdict("F2", history=history(test_accuracy=0.6)),
    "F3": lambda: verdict("F3", GROWING, ADVERSARIAL),
    "F4": lambda: verdict("F4", FALLING[FALLING["correct"]]),
    "F5": lambda: verdict("F5", FALLING, ADVERSARIAL),
    "F6": lambda: verdict("F6"),
    "F7": lambda: verdict("F7", FALLING),
}


def estimator_check(deepfool, walk):
    first, second = (margins(curve, seeds=(0,)) for curve in (deepfool, walk))
    return pd.concat([first, second.assign(estimator="walk")], ignore_index=True)


def test_every_claim_is_tried_all_three_ways():
    names = set(CLAIMS["mickisch2020"])
    assert names == {f"C{i}" for i in range(1, 8)} | {f"F{i}" for i in range(1, 8)}
    assert names == set(HOLDING) == set(FAILING) == set(UNTESTABLE)


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


@pytest.mark.parametrize("name", CLAIMS["mickisch2020"])
def test_no_run_at_all_is_not_tested(name):
    assert verdict(name).verdict == "not tested"


def test_the_values_are_those_of_the_made_tables():
    assert verdict("C1", margins(RISE, noise=0)).estimate.value == pytest.approx(-0.5)
    assert verdict("F5", margins(RISE, noise=0), margins(LEVEL, training="pgd linf", scale=3, noise=0), L2).estimate
    ratio = verdict("C5", margins(RISE, wrong=0.3, noise=0)).estimate.value
    assert ratio == pytest.approx(0.3, abs=0.05)


def test_one_seed_has_an_interval_over_its_images():
    found = verdict("C1", margins(RISE, seeds=(0,), noise=0)).estimate
    assert found.over.startswith("1 seed, ")
    # every image falls by the same share, hence no spread
    assert found.low == pytest.approx(found.high)
    mixed = verdict("C5", margins(RISE, seeds=(0,))).estimate
    assert mixed.low < mixed.value < mixed.high


def test_the_direction_alone_is_not_enough():
    ends = {0: 0.5, 1: 0.95, 2: 1.1}
    curves = [margins([*LEVEL[:-1], end], seeds=(seed,), noise=0) for seed, end in ends.items()]
    found = verdict("C1", *curves)
    assert (found.verdict, found.estimate.value) == ("does not hold", pytest.approx(-0.15))
    assert "includes 0" in found.reason
