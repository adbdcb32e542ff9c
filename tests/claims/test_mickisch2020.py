"""Every rule on simulated studies whose truth is known: no effect, the claimed effect, the opposite; too few data."""

import itertools

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge

from .margins_over_training import COME, CONTROLS, PAPER, SEEDS, history, margins, study
from .simulated import codes, shares


def falling(change, **more):
    return lambda rng: study(margins(rng, change, **more))


def against(pgd, standard=-0.4):
    return lambda rng: study(margins(rng, standard), margins(rng, pgd, training="pgd linf", scale=3))


def checked(own):
    def draw(rng):
        number = int(rng.integers(1, 2**31))
        more = {"seeds": SEEDS, "images": 130, "shared": number}
        first = margins(rng, -0.3, **more)
        walk = margins(rng, -0.3, estimator="walk", estimators_own=own, **more)
        return study(first, check=walk.drop(columns=["correct", "confidence", "success"]))

    return draw


def controlled(pgd, spread=0.2, change=-0.3, odd=None):
    def draw(rng):
        scales = np.exp(np.linspace(0, spread, 3))
        tables = [margins(rng, change), margins(rng, 0.0, training="pgd linf", scale=pgd)]
        for name, scale in zip(CONTROLS, scales, strict=True):
            tables.append(
                margins(rng, odd if odd is not None and name == CONTROLS[0] else change, study=name, scale=scale)
            )
        return study(*tables)

    return draw


def robust_at(log_median):
    """Standard training whose median linf margin of correct images is so far from half of the budget, 0.05."""
    return lambda rng: study(margins(rng, 0.0, scale=0.05 * np.exp(log_median)))


def transferring(scale):
    return lambda rng: study(
        margins(rng, 0.0),
        margins(rng, 0.0, training="pgd linf", scale=scale),
        margins(rng, 0.0, training="pgd l2", study="transfer", scale=scale),
    )


def split_by(gap, gradient, fall=-0.3):
    """Standard training with a gap and a gradient norm whose logs change so much, and first-order margins by `fall`."""

    def draw(rng):
        found = study(margins(rng, fall))
        grown = [margins(rng, change, shared=int(rng.integers(1, 2**31)))["margin"] for change in (gap, gradient)]
        rows = found.tables["margins"].assign(logit_gap=grown[0], gradient_norm=grown[1])
        return Evidence(found.tables | {"first_order": rows})

    return draw


def biased(standard, pgd):
    """DeepFool's margins over walk's, whose factor grows by these logs in standard and in PGD training."""

    def draw(rng):
        tables = []
        for training, growth in (("standard", standard), ("pgd linf", pgd)):
            walk = margins(rng, -0.3, training=training, estimator="walk")
            bias = (growth + rng.normal(0, 0.01, len(SEEDS)))[codes(walk["seed"])] * np.array(COME)[walk["step"]]
            noise = rng.normal(0, 0.01, len(walk))
            tables += [walk, walk.assign(estimator="deepfool", margin=walk["margin"] * np.exp(0.1 + bias + noise))]
        return study(*tables)

    return draw


def bracketed(lower, upper, **more):
    """`margin=bracket` whose bounds' logs change so much."""

    def draw(rng):
        table = margins(rng, upper, estimator="bracket", **more)
        low = 0.3 * margins(rng, lower, estimator="bracket", **more)["margin"]
        return study(table.assign(lower_bound=low))

    return draw


# claim -> studies under no effect, under the claimed one, under the opposite one
TRUTHS = {
    "C1": (falling(0.0), falling(-0.25), falling(0.25)),
    "C2": (falling(0.0), falling(-0.4), falling(0.4)),
    "C3": (against(-0.4), against(0.05), against(-0.8)),
    "C4": (falling(0.0), falling(-0.25), falling(0.25)),
    "C5": (falling(0.0, wrong=0.6), falling(0.0, wrong=0.3), falling(0.0, wrong=0.9)),
    "C6": (checked(0.1), checked(0.0), checked(0.3)),
    "C7": tuple(controlled(scale, change=0.0) for scale in (1.2, 2.0, 0.8)),
    "F1": (falling(0.0), falling(-0.4), falling(0.4)),
    "F2": (robust_at(0.0), robust_at(-0.6), robust_at(0.6)),
    "F3": (against(-0.4), against(0.05), against(-0.8)),
    "F4": (falling(-0.3, wrong_change=0.0), falling(0.0, wrong_change=-0.25), falling(-0.3, wrong_change=0.25)),
    "F5": (transferring(1.0), transferring(1.6), transferring(0.6)),
    "F6": (
        falling(0.0, confidence=0.5, right=0.5),
        falling(0.0, confidence=0.0),
        falling(0.0, confidence=1.0, right=0.0),
    ),
    "F7": (controlled(2, change=0.0), controlled(2, change=-0.25), controlled(2, odd=0.25)),
    "B1": (biased(0.0, 0.0), biased(0.05, 0.15), biased(-0.05, -0.15)),
    "B2": (bracketed(0.0, -0.3), bracketed(-0.25, -0.3), bracketed(0.25, -0.3)),
    "B3": (split_by(0.0, 0.0), split_by(0.3, 0.6), split_by(-0.6, -0.3)),
}


def test_every_claim_is_simulated():
    assert set(TRUTHS) == set(CLAIMS[PAPER])


@pytest.mark.parametrize("name", TRUTHS)
def test_no_effect_is_hardly_ever_supported(name):
    # most claims have several parts, so that this is far from the bound; one of a single part is drawn often below
    assert shares(PAPER, name, TRUTHS[name][0], 5)["supported"] <= 0.05


def test_no_effect_is_supported_in_at_most_five_percent_of_many_studies():
    one = {"seeds": SEEDS[:6], "images": 40}

    def draw(rng):
        made = margins(rng, 0.0, **one)
        kept = made[(made["norm"] == "l2") & (made["split"] == "train") & (made["step"].isin([2, 5]))]
        return study(kept, seeds=SEEDS[:6])

    assert shares(PAPER, "C1", draw, 200)["supported"] <= 0.05


@pytest.mark.parametrize("name", TRUTHS)
def test_the_claimed_effect_is_supported(name):
    assert shares(PAPER, name, TRUTHS[name][1], 4)["supported"] >= 0.8


@pytest.mark.parametrize("name", [name for name in TRUTHS if name != "C6"])
def test_the_opposite_is_contradicted(name):
    found = shares(PAPER, name, TRUTHS[name][2], 3)
    assert found["contradicted"] >= 0.8
    assert found["supported"] == 0


RNG = np.random.default_rng(3)
FALLING = margins(RNG, -0.3)
STUDY = study(FALLING)


def parts(name, evidence=STUDY):
    return {part.label: part for part in CLAIMS[PAPER][name].rule(evidence).parts}


def verdict(name, evidence=STUDY):
    return CLAIMS[PAPER][name].rule(evidence)


def test_the_reference_never_looks_at_margins():
    """Before the reference moment margins peak at chance level; a rule on peaks would see a fall of 95 %."""
    (part, *_) = [part for label, part in parts("C1").items() if "train all, l2" in label]
    assert part.effect.value == pytest.approx(np.exp(-0.3) - 1, abs=0.06)


def test_walk_decides_and_deepfool_is_beside_it():
    number = 5
    deepfool, walk = (
        margins(RNG, change, estimator=name, shared=number) for name, change in (("deepfool", 0.3), ("walk", -0.3))
    )
    found = verdict("C1", study(deepfool, walk))
    assert found.verdict == "supported"
    assert {part.label.split()[-1]: part.secondary for part in found.parts} == {"(walk)": False, "(deepfool)": True}
    assert all(part.verdict == "contradicted" for part in found.parts if part.secondary)
    from_check = study(deepfool, check=walk.drop(columns=["correct", "confidence", "success"]))
    assert [part.effect for part in verdict("C1", from_check).parts] == [part.effect for part in found.parts]
    assert "only DeepFool" in verdict("C1").reason


def test_correct_images_are_correct_at_both_moments():
    changed = FALLING.copy()
    flips = (changed["index"] < 10) & (changed["step"] == 5)
    changed.loc[flips, "correct"] = False
    changed.loc[flips, "margin"] = 1e6
    one, other = (parts("C1", study(table)) for table in (changed, FALLING[FALLING["index"] >= 10]))
    label = "test correct, l2 (deepfool)"
    assert one[label].effect.value == other[label].effect.value


def test_seeds_that_never_learn_are_left_out_and_counted():
    slow = history(seeds=SEEDS[:2], train=[0.1, 0.2, 0.5, 0.6, 0.7, 0.8])
    others = history(seeds=SEEDS[2:])
    found = verdict("C2", Evidence({"margins": FALLING, "history": pd.concat([slow, others])}))
    assert {part.effect.num_seeds for part in found.parts} == {5}
    assert "2 of 7 seeds: the accuracy of the reference moment is not reached (0, 1)" in found.parts[0].left_out


def test_matched_accuracy_decides_where_the_comparison_begins():
    rng = np.random.default_rng(0)
    tables = [margins(rng, -0.4), margins(rng, 0.0, training="pgd linf")]
    # PGD ends at 70 % training accuracy: 63 % is reached by standard training at step 2 and by PGD at step 3
    slow = history("pgd linf", train=[0.1, 0.2, 0.5, 0.65, 0.68, 0.7])
    evidence = Evidence({"margins": pd.concat(tables), "history": pd.concat([history(), slow])})
    standard, trained = (pd.concat([table[table["step"] != step]]) for table, step in zip(tables, (99, 2), strict=True))
    same = Evidence({"margins": pd.concat([standard, trained]), "history": pd.concat([history(), slow])})
    assert [part.effect for part in verdict("C3", evidence).parts] == [
        part.effect for part in verdict("C3", same).parts
    ]


def test_where_only_one_training_has_walk_deepfool_compares_them():
    rng = np.random.default_rng(0)
    walk = margins(rng, -0.4, estimator="walk")
    found = verdict("C3", study(margins(rng, -0.4), walk, margins(rng, 0.05, training="pgd linf")))
    assert found.verdict == "supported"
    assert [part.label for part in found.parts if not part.secondary] == [
        "PGD against standard, train all, linf (deepfool)",
        "PGD, train all, linf (deepfool)",
    ]


def test_without_a_fall_there_is_nothing_to_prevent():
    rng = np.random.default_rng(0)
    found = verdict("C3", against(0.3, standard=0.0)(rng))
    assert found.verdict == "undecided"
    assert "nothing to prevent is shown" in found.reason


def test_high_error_says_nothing_of_robustness():
    found = verdict("F2", study(margins(RNG, scale=0.01), final=0.6))
    assert (found.verdict, "the error is not low" in found.reason) == ("undecided", True)


def test_robustness_is_looked_at_a_range_of_radii():
    found = parts("F2", study(margins(RNG, scale=0.05)))
    assert [label for label in found if label.startswith("eps")] == [
        f"eps {eps} (deepfool)" for eps in (0.025, 0.05, 0.1)
    ]
    assert [part.secondary for part in found.values()] == [True, False, True, True]
    values = [part.effect.value for label, part in found.items() if label.startswith("eps")]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", TRUTHS)
def test_one_seed_no_seed_and_no_number_are_rows_that_say_so(name):
    rng = np.random.default_rng(1)
    tables = TRUTHS[name][1](rng).tables
    single = {key: table[table["seed"] == 0] for key, table in tables.items()}
    found = verdict(name, Evidence(single))
    assert found.verdict == "undecided"
    assert "of the 5 seeds that an interval needs" in found.reason
    assert all(np.isnan(part.effect.low) for part in found.parts)
    without = {key: table.assign(margin=np.nan) if "margin" in table else table for key, table in tables.items()}
    assert verdict(name, Evidence(without)).verdict in ("undecided", "not run")
    assert verdict(name, Evidence({})).verdict == "not run"
    alone = {key: table for key, table in tables.items() if key != "history"}
    assert verdict(name, Evidence(alone)).verdict in ("undecided", "not run", "supported")


def test_data_sets_that_nobody_ran_and_runs_that_failed_are_rows():
    failed = (("fashion_mnist", "standard-main", 7), ("mnist", "mnist-lenet-none-1", 0))
    evidence = Evidence(STUDY.tables, failed=failed)
    table = judge(PAPER, evidence)
    by_dataset = dict(iter(table.groupby("dataset")))
    assert set(by_dataset["cifar10"]["verdict"]) == set(by_dataset["mnist"]["verdict"]) == {"not run"}
    assert set(by_dataset["cifar10"]["claim"]) == set(CLAIMS[PAPER]) - {"F5"}
    assert by_dataset["fashion_mnist"]["left_out"].str.contains("1 runs not finished").all()
    assert by_dataset["mnist"]["left_out"].str.contains("mnist-lenet-none-1 seed 0").all()
    assert table.groupby("claim")["primary"].first().sum() == 1


def test_holm_adjusts_over_the_data_sets_of_the_primary_claim():
    other = FALLING.assign(dataset="mnist", margin=FALLING["margin"] * (1 + 0.3 * (FALLING["seed"] % 2)))
    tables = {"margins": pd.concat([FALLING, other])}
    tables["history"] = pd.concat([history(), history().assign(dataset="mnist")])
    table = judge(PAPER, Evidence(tables))
    rows = table[table["primary"]].groupby("dataset")
    largest = rows["p_value"].max()
    first, second = sorted(largest.dropna())
    assert sorted(rows["p_holm"].first().dropna()) == pytest.approx([2 * first, max(2 * first, second)])
    assert table.loc[~table["primary"], "p_holm"].isna().all()


def test_every_part_is_a_row_with_its_effect():
    table = judge(PAPER, STUDY)
    rows = table[(table["claim"] == "C1") & (table["dataset"] == "fashion_mnist")]
    wanted = [
        f"{split}, {norm} (deepfool)"
        for split, norm in itertools.product(("train all", "test correct"), ("l2", "linf"))
    ]
    assert rows["part"].tolist() == wanted
    assert (rows["low"] < rows["value"]).all()
    assert (rows["value"] < rows["high"]).all()
    assert set(rows["num_seeds"]) == {len(SEEDS)}


def test_where_first_order_margins_do_not_fall_there_is_nothing_to_split():
    found = verdict("B3", split_by(0.3, 0.6, fall=0.2)(np.random.default_rng(0)))
    assert (found.verdict, "no fall is shown to explain" in found.reason) == ("undecided", True)


def test_the_factors_of_the_first_order_margin_are_geometric_means():
    rows = STUDY.tables["margins"].assign(logit_gap=2.0, gradient_norm=1.0)
    rows.loc[rows["step"] == 5, ["logit_gap", "gradient_norm"]] = 6.0, 9.0
    found = parts(
        "B3", Evidence(STUDY.tables | {"first_order": rows.assign(margin=rows["logit_gap"] / rows["gradient_norm"])})
    )
    values = {label.rpartition(", ")[2]: part.effect.value for label, part in found.items() if "l2" in label}
    expected = {"dual norm of the gap's gradient": 9, "logit gap": 3, "margin to first order": 1 / 3}
    assert values == pytest.approx(expected)


def test_the_bias_is_of_the_images_and_moments_that_walk_measured():
    made = biased(0.05, 0.15)(np.random.default_rng(0))
    found = parts("B1", made)
    assert list(found) == ["standard, l2", "PGD against standard, l2", "standard, linf", "PGD against standard, linf"]
    assert found["standard, l2"].effect.value == pytest.approx(np.exp(0.05), abs=0.02)
    rows = made.tables["margins"]
    further = rows[rows["estimator"] == "deepfool"].assign(index=lambda part: part["index"] + 1000, margin=1e6)
    more = parts("B1", Evidence(made.tables | {"margins": pd.concat([rows, further])}))
    assert [part.effect for part in more.values()] == [part.effect for part in found.values()]
    alone = rows[(rows["training"] == "standard") | (rows["estimator"] == "deepfool")]
    assert list(parts("B1", Evidence(made.tables | {"margins": alone}))) == ["standard, l2", "standard, linf"]


def test_bounds_of_a_study_of_their_own_count_and_images_without_a_bound_do_not():
    made = bracketed(-0.25, -0.3, study="bracket")(np.random.default_rng(0))
    found = parts("B2", made)
    assert "bracket, train, l2, certified lower bound" in found
    rows = made.tables["margins"]
    unbounded = rows.assign(lower_bound=rows["lower_bound"].where(rows["index"] >= 5))
    left = parts("B2", Evidence(made.tables | {"margins": unbounded}))["bracket, train, l2, upper bound"]
    assert left.left_out == f"{5 * len(SEEDS)} images without a margin"


def test_seeds_that_one_training_lacks_are_counted():
    made = transferring(1.6)(np.random.default_rng(0))
    rows = made.tables["margins"]
    kept = rows[(rows["training"] != "pgd l2") | (rows["seed"] < 6)]
    found = parts("F5", Evidence(made.tables | {"margins": kept}))["pgd l2 measured in linf (deepfool)"]
    assert (found.effect.num_seeds, found.left_out) == (6, "1 seeds that not all trainings have (6)")


def test_a_run_with_an_image_twice_is_left_out_and_hides_no_other(capsys):
    found = transferring(1.6)(np.random.default_rng(3))
    rows = found.tables["margins"]
    twice = rows[(rows["training"] == "standard") & (rows["seed"] == SEEDS[-1])].tail(4)
    twice = Evidence(found.tables | {"margins": pd.concat([rows, twice], ignore_index=True)}, found.configs)
    whole, less = (judge("mickisch2020", one).query("claim == 'F5' and num_seeds > 0") for one in (found, twice))
    assert set(whole["verdict"]) == set(less["verdict"]) == {"supported"}
    assert set(whole["num_seeds"]) == {len(SEEDS)}
    assert set(less["num_seeds"]) == {len(SEEDS) - 1}
    assert (
        less["passed_over"].str.contains("F5 cannot be judged from its tables (InvalidIndexError: ", regex=False).all()
    )
    assert "skipped: " in capsys.readouterr().err
