"""Effects and verdicts against simulations whose truth is known: the null, the claimed effect, the opposite."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bdry.selection.effects import CHANGE, CORRELATION, DIFFERENCE, RATE, RATIO, over_seeds, share, two_way
from bdry.selection.verdicts import CONTRADICTED, NOT_RUN, SUPPORTED, UNDECIDED, Part, decide, holm

NUM_STUDIES = 400


def shares_of_verdicts(draw):
    """How often each verdict comes out of simulated studies."""
    rng = np.random.default_rng(7)
    found = Counter(decide(draw(rng)).verdict for _ in range(NUM_STUDIES))
    return {verdict: found[verdict] / NUM_STUDIES for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED)}


def falls(effect, bound=0.0):
    return [Part("train, l2", "change", effect, bound, above=False, band=0.05)]


def changes(rng, mean, spread, seeds):
    return over_seeds(np.expm1(rng.normal(mean, spread, seeds)).tolist(), CHANGE)


@pytest.mark.parametrize("seeds", [5, 6, 8])
def test_no_effect_is_supported_in_at_most_five_percent(seeds):
    assert shares_of_verdicts(lambda rng: falls(changes(rng, 0.0, 0.1, seeds)))[SUPPORTED] <= 0.05


@pytest.mark.parametrize("seeds", [6, 8])
def test_the_claimed_effect_is_supported_and_its_opposite_contradicted(seeds):
    assert shares_of_verdicts(lambda rng: falls(changes(rng, math.log(0.8), 0.1, seeds)))[SUPPORTED] >= 0.8
    assert shares_of_verdicts(lambda rng: falls(changes(rng, math.log(1.25), 0.1, seeds)))[CONTRADICTED] >= 0.8


def test_a_tight_null_is_contradicted_and_a_wide_one_undecided():
    assert shares_of_verdicts(lambda rng: falls(changes(rng, 0.0, 0.015, 6)))[CONTRADICTED] >= 0.8
    assert shares_of_verdicts(lambda rng: falls(changes(rng, 0.0, 0.3, 6)))[UNDECIDED] >= 0.9


@pytest.mark.parametrize(("probability", "spread"), [(0.5, 0.0), (0.5, 0.1), (0.95, 0.0), (0.9, 0.05)])
def test_a_share_covers_its_truth(probability, spread):
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(NUM_STUDIES):
        seeds = np.clip(rng.normal(probability, spread, 6), 0, 1) if spread else np.full(6, probability)
        found = share([(int(rng.binomial(24, one)), 24) for one in seeds], "pairs")
        covered += found.low <= probability <= found.high
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert covered >= 0.93 * NUM_STUDIES


def test_all_of_independent_pairs_has_the_exact_interval():
    found = share([(12, 12)] * 6, "pairs")
    exact = stats.binomtest(72, 72).proportion_ci(0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.low > 0.95 and share([(4, 4)] * 6, "pairs").low < 0.95


def test_a_rate_of_all_shared_images_has_the_exact_interval_of_so_many_images():
    frames = {seed: pd.DataFrame({"v": np.ones(24)}) for seed in range(6)}
    found = two_way(lambda means: means[..., 0], frames, RATE)
    exact = stats.binomtest(24, 24).proportion_ci(0.95)
    assert (found.low, found.high, found.num_seeds) == (pytest.approx(exact.low), 1, 6)


def test_images_that_a_seed_lacks_are_left_out_of_its_means():
    full = pd.DataFrame({"v": np.arange(10.0)})
    frames = {seed: full if seed else full.iloc[5:] for seed in range(5)}
    found = two_way(lambda means: means[..., 0], frames)
    assert found.value == pytest.approx((4 * 4.5 + 7) / 5)
    assert found.over == "5 seeds x 10 images"


def test_intervals_stay_in_their_domain():
    rng = np.random.default_rng(0)
    for _ in range(50):
        rate = over_seeds(rng.uniform(0, 1, 5).round(), RATE)
        assert 0 <= rate.low <= rate.high <= 1
        change = over_seeds(np.expm1(rng.normal(-1, 2, 5)).tolist(), CHANGE)
        correlation = over_seeds(np.tanh(rng.normal(1, 2, 5)).tolist(), CORRELATION)
        ratio = over_seeds(np.exp(rng.normal(0, 2, 5)).tolist(), RATIO)
        assert change.low > -1
        assert -1 <= correlation.low <= correlation.high <= 1
        assert ratio.low > 0


def test_two_way_covers_the_population_of_images():
    """Images are as large a part of the variance as seeds: over seeds alone the interval would be too narrow."""
    rng = np.random.default_rng(5)
    covered = narrow = 0
    for _ in range(30):
        image = rng.normal(0, 1, 40)
        frames = {seed: pd.DataFrame({"v": rng.normal(0, 0.1) + image + rng.normal(0, 0.2, 40)}) for seed in range(6)}
        found = two_way(lambda means: means[..., 0], frames)
        covered += found.low <= 0 <= found.high
        narrow += (
            over_seeds([float(frame["v"].mean()) for frame in frames.values()]).half_width < 0.5 * found.half_width
        )
    assert covered >= 0.9 * 30
    assert narrow > 25


def test_fewer_than_five_seeds_are_undecided_whatever_they_say():
    found = decide(falls(over_seeds([-0.5, -0.51, -0.49, -0.5], CHANGE)))
    assert found.verdict == UNDECIDED
    assert "4 of the 5 seeds" in found.reason
    assert math.isnan(found.p_value)


def test_what_is_no_number_is_left_out_and_counted():
    assert over_seeds([0.1, math.nan, 0.2, 0.1, 0.2, 0.15]).num_seeds == 5
    assert decide([]).verdict == NOT_RUN


def test_the_outlook_says_what_would_decide():
    found = over_seeds([-0.3, 0.1, -0.2, 0.15, -0.1, 0.05], DIFFERENCE)
    verdict = decide(falls(found))
    assert verdict.verdict == UNDECIDED
    seeds = found.seeds_needed(0.0)
    assert seeds is not None and f"{seeds} seeds would decide" in verdict.reason
    spread = found.error * math.sqrt(6)

    def width(n):
        return stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n)

    assert width(seeds) < abs(found.centre) <= width(seeds - 1)


def test_the_detectable_effect_is_shown_in_four_fifths_of_studies():
    typical = over_seeds([-0.1, 0.0, 0.1, -0.05, 0.05, 0.0])
    spread = typical.error * math.sqrt(6)
    effect = typical.detectable(0.0, above=False)
    found = shares_of_verdicts(lambda rng: falls(over_seeds(rng.normal(effect, spread, 6).tolist())))[SUPPORTED]
    assert 0.72 <= found <= 0.9


def test_one_part_on_the_other_side_contradicts_and_a_secondary_one_does_not():
    rising = over_seeds([0.3, 0.31, 0.29, 0.3, 0.32], CHANGE)
    falling = over_seeds([-0.3, -0.31, -0.29, -0.3, -0.32], CHANGE)
    both = falls(falling) + falls(rising)
    assert decide(both).verdict == CONTRADICTED
    told = [both[0], Part("deepfool", "change", rising, 0.0, above=False, band=0.05, secondary=True)]
    assert decide(told).verdict == SUPPORTED


def test_the_p_value_is_students():
    values = [-0.1, -0.2, -0.3, 0.05, -0.15]
    expected = stats.ttest_1samp(values, 0.0, alternative="less").pvalue
    assert over_seeds(values).p_value(0.0, above=False) == pytest.approx(expected)


def test_holm():
    assert holm([0.01, 0.04, math.nan, 0.03]) == pytest.approx([0.03, 0.06, math.nan, 0.06], nan_ok=True)


@pytest.mark.parametrize(("won", "of"), [(5, 5), (0, 5), (3, 5)])
@pytest.mark.parametrize("bound", [0.08, 0.5, 0.95])
@pytest.mark.parametrize("above", [True, False])
def test_the_p_value_of_a_share_is_the_binomial_tests_and_agrees_with_the_interval(won, of, bound, above):
    # five seeds of one trial each, and of as many as differ by chance alone: worth all their trials
    effect = share([(1, 1)] * won + [(0, 1)] * (of - won), "pairs")
    side = "greater" if above else "less"
    if won in (0, of):
        assert effect.p_value(bound, above) == pytest.approx(stats.binomtest(won, of, bound, side).pvalue)
    beyond = effect.low > bound if above else effect.high < bound
    assert beyond == (effect.p_value(bound, above) < 0.025)


def test_a_share_of_all_images_that_seeds_have_in_common_has_the_binomial_tests_p_value():
    frames = {seed: pd.DataFrame({"right": [1.0] * 30}) for seed in range(5)}
    effect = two_way(lambda means: means[..., 0], frames, RATE)
    assert effect.p_value(0.9, True) == pytest.approx(0.9**30)


def test_a_quotient_and_its_reciprocal_have_reciprocal_intervals():
    # with three images of forty some resamples have none of them
    frames = {seed: pd.DataFrame({"a": [1, 0] * 20, "b": [1.0] * 3 + [0.0] * 37}) for seed in range(6)}
    over = two_way(lambda means: means[..., 0] / means[..., 1], frames, RATIO)
    under = two_way(lambda means: means[..., 1] / means[..., 0], frames, RATIO)
    assert over.known
    assert (over.low, over.high) == pytest.approx((1 / under.high, 1 / under.low))
