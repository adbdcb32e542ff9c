"""Components I and II: stacked equals alone, the textbook loop, guards, odd inputs."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bdry.core.measuring import measuring
from bdry.deepdig import AUTOENCODERS, Recipe, both_directions, checked_pairs, pass_through, train_pairs
from bdry.deepdig.autoencoders import initial_weights
from bdry.deepdig.training import Batches, Job, train_stack
from bdry.errors import UsageError

# the images of a class are noise, of which so few steps make one image: only tests of the guard have one
ALL_PAIRS = list(itertools.permutations(range(3), 2))
QUICK = Recipe(steps=40, batch_size=16, log_every=10, options={"widths": [20, 10]}, min_collapse_ratio=0.0)


def run(net, x, labels, pairs, recipe=QUICK, seed=0):
    with measuring(net):
        return list(train_pairs(net, x, labels, pairs, recipe, seed=seed))


def test_parameters_are_as_many_as_the_authors():
    counts = {}
    for name, shape in (("fc", (1, 28, 28)), ("conv", (3, 32, 32)), ("bottleneck", (3, 32, 32))):
        weights = initial_weights(AUTOENCODERS[name](shape), [torch.Generator().manual_seed(0)])
        counts[name] = sum(tensor.numel() for tensor in weights)
    assert counts == {"fc": 123_534, "conv": 47_355, "bottleneck": 47_355}


@pytest.mark.parametrize("name", ["fc", "conv", "bottleneck"])
def test_stacked_layers_are_torchs_layers(name):
    """Each network of a stack against nn.Linear and nn.Conv2d with its weights."""
    shape = (2, 16, 16)
    layers = AUTOENCODERS[name](shape)
    weights = initial_weights(layers, [torch.Generator().manual_seed(seed) for seed in range(3)])
    x = torch.rand(3, 4, *shape, generator=torch.Generator().manual_seed(9))
    from bdry.deepdig.autoencoders import decode

    stacked = decode(layers, weights, x, lambda h: h)
    assert stacked.shape == x.shape
    for i in range(3):
        hidden = x[i] if name != "fc" else x[i].flatten(1)
        for k, layer in enumerate(layers):
            weight, bias = weights[2 * k][i], weights[2 * k + 1][i]
            if name == "fc":
                hidden = F.linear(hidden, weight.T, bias[0])
            else:
                convolve = F.conv_transpose2d if layer.transposed else F.conv2d
                hidden = convolve(hidden, weight, bias, layer.stride, layer.padding)
            hidden = hidden.relu() if k < len(layers) - 1 else hidden
        torch.testing.assert_close(stacked[i], hidden.view(4, *shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_initial_weights_are_torchs_default(kind):
    bound = 1 / math.sqrt(784) if kind == "dense" else 1 / math.sqrt(3 * 16)
    name, shape = ("fc", (1, 28, 28)) if kind == "dense" else ("conv", (3, 32, 32))
    weight = initial_weights(AUTOENCODERS[name](shape), [torch.Generator().manual_seed(0)])[0]
    assert float(weight.abs().max()) == pytest.approx(bound, rel=0.02)
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("name", ["fc", "bottleneck"])
def test_a_pair_alone_is_the_pair_in_a_stack(stripes, name):
    net, x, labels = stripes
    if name == "bottleneck":
        x = F.pad(x, (1, 1, 1, 1))
        net = nn.Sequential(net.normalise, nn.ZeroPad2d(-1), net.body, net.head)
    options = {"widths": [20, 10]} if name == "fc" else {"widths": [4, 6]}
    recipe = Recipe(autoencoder=name, options=options, steps=20, batch_size=16, log_every=5)
    layers = recipe.layers(tuple(x.shape[1:]))
    jobs = [Job((s, t), 1, t, (labels == s).nonzero()[:, 0], 3) for s, t in ALL_PAIRS]
    with measuring(net):
        together = train_stack(net, x, jobs, layers, recipe)
        alone = [train_stack(net, x, [job], layers, recipe)[0] for job in jobs]
    for (stacked, log), (single, own) in zip(together, alone, strict=True):
        assert log.steps == own.steps == [0, 5, 10, 15, 19]
        assert log.reconstruction == pytest.approx(own.reconstruction, rel=1e-3)
        assert log.class_term == pytest.approx(own.class_term, rel=1e-3)
        torch.testing.assert_close(stacked(x), single(x), atol=2e-3, rtol=0)
    assert together[0][1].reconstruction != together[1][1].reconstruction


def test_training_is_the_textbook_loop(stripes):
    """Against nn.Linear, the literal losses and torch's Adam on the same batches."""
    net, x, labels = stripes
    recipe = Recipe(steps=15, batch_size=16, lr_decay_every=5, lr_decay=0.5, options={"widths": [12, 6]}, log_every=1)
    job = Job((0, 2), 1, 2, (labels == 0).nonzero()[:, 0], 1)
    layers = recipe.layers((1, 6, 6))
    with measuring(net):
        ((ours, log),) = train_stack(net, x, [job], layers, recipe)
        with torch.random.fork_rng(devices=[]):
            plain = nn.Sequential(
                nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 36), nn.Sigmoid()
            )
        weights = initial_weights(layers, [job.rng("init")])
        for i, linear in enumerate(plain[::2]):
            linear.weight.data = weights[2 * i][0].T.clone()
            linear.bias.data = weights[2 * i + 1][0, 0].clone()
        optimiser = torch.optim.Adam(plain.parameters(), lr=recipe.lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, 5, 0.5)
        batches = Batches([job], 16)
        for step in range(15):
            batch = x[batches.rows(step)[0]]
            x_hat = plain(batch.flatten(1)).view_as(batch)
            p = net(x_hat).softmax(1)
            r = F.binary_cross_entropy(x_hat, batch)
            t = F.binary_cross_entropy(p, F.one_hot(torch.full((16,), 2), 3).float())
            assert log.reconstruction[step] == pytest.approx(r.item(), rel=1e-3)
            assert log.class_term[step] == pytest.approx(t.item(), rel=1e-3)
            optimiser.zero_grad()
            (r + 0.8 * t).backward()
            optimiser.step()
            schedule.step()
    torch.testing.assert_close(ours(x), plain(x.flatten(1)).view_as(x).detach(), atol=2e-3, rtol=0)


def test_batches_are_distinct_images_and_small_classes_weigh_what_they_have():
    jobs = [Job((0, 1), 1, 1, torch.arange(100, 150), 0), Job((1, 0), 1, 0, torch.arange(3), 0)]
    batches = Batches(jobs, 16)
    seen = [batches.rows(step) for step in range(3)]
    assert all(len(set(rows[0].tolist())) == 16 for rows in seen)
    assert len(set(torch.stack(seen)[:, 0].flatten().tolist())) == 48
    torch.testing.assert_close(batches.share.sum(1), torch.ones(2))
    used = batches.share[1] > 0
    assert sorted(seen[0][1][used].tolist()) == [0, 1, 2]
    assert seen[0].min() >= 0


def test_trained_pairs_change_their_class(stripes):
    net, x, labels = stripes
    trained = run(
        net,
        x,
        labels,
        ALL_PAIRS,
        Recipe(steps=300, batch_size=32, lr=3e-3, options={"widths": [40, 20]}, min_collapse_ratio=0.0),
    )
    assert [result.pair for result in trained] == ALL_PAIRS
    for result in trained:
        assert result.status == "ok"
        s, t = result.pair
        assert result.first.num_kept > 50
        assert result.first.num_images == 60
        passed = pass_through(net, result.first.autoencoder, x[labels == s], s, t)
        assert int(passed.kept.sum()) == result.first.num_kept
        assert bool((net(passed.output[passed.kept]).argmax(1) == t).all())
        assert result.second.num_images == result.first.num_kept
        assert result.first.log.reconstruction[-1] < result.first.log.reconstruction[0]
        assert result.first.log.class_term[-1] < result.first.log.class_term[0]


def test_stack_size_and_the_same_seed(stripes):
    net, x, labels = stripes
    results = [
        run(net, x, labels, ALL_PAIRS, Recipe(**(vars(QUICK) | {"stack": stack})), seed=seed)
        for stack, seed in ((6, 0), (6, 0), (4, 0), (6, 1))
    ]
    for one, again, other_stack, other_seed in zip(*results, strict=True):
        assert one.first.log == again.first.log
        assert one.first.log.reconstruction == pytest.approx(other_stack.first.log.reconstruction, rel=1e-3)
        assert one.first.log != other_seed.first.log


def test_a_collapsed_pair_is_restarted_and_then_failed(stripes):
    net, x, labels = stripes
    # so large a rate kills every ReLU: one image for all
    dead = Recipe(steps=30, batch_size=16, lr=50.0, options={"widths": [10, 5]}, max_restarts=2)
    (result,) = run(net, x, labels, [(0, 1)], dead)
    assert result.first.status == "collapsed"
    assert result.first.restarts == 2
    assert not result.first.collapse_ratio >= 0.1
    assert result.second is None
    assert result.status == "stage 1: collapsed"


def test_only_collapsed_pairs_are_trained_again(stripes, monkeypatch):
    """A guard between the ratios of two pairs restarts one of them and leaves the other alone."""
    net, x, labels = stripes
    before = run(net, x, labels, [(0, 1), (1, 2)])
    ratios = [result.first.collapse_ratio for result in before]
    low = ratios.index(min(ratios))
    guarded = Recipe(**(vars(QUICK) | {"min_collapse_ratio": sum(ratios) / 2, "max_restarts": 1}))
    after = run(net, x, labels, [(0, 1), (1, 2)], guarded)
    assert after[1 - low].first.restarts == 0
    assert after[1 - low].first.log == before[1 - low].first.log
    assert after[low].first.restarts == 1
    (next_seed,) = run(net, x, labels, [before[low].pair], seed=1)
    assert after[low].first.log.reconstruction == pytest.approx(next_seed.first.log.reconstruction, rel=1e-3)


def test_early_stop_leaves_the_others_alone(stripes):
    net, x, labels = stripes
    # a rate at which rounding does not grow: the courses can be held to each other to their ends
    recipe = Recipe(**(vars(QUICK) | {"steps": 400, "patience": 3, "lr": 3e-3}))
    layers = recipe.layers((1, 6, 6))
    jobs = [Job((s, t), 1, t, (labels == s).nonzero()[:, 0], 0) for s, t in ALL_PAIRS]
    with measuring(net):
        together = train_stack(net, x, jobs, layers, recipe)
        alone = [train_stack(net, x, [job], layers, recipe)[0] for job in jobs]
    ends = [log.steps[-1] for _, log in together]
    assert len(set(ends)) > 1
    assert min(ends) < 399
    for (stacked, log), (single, own) in zip(together, alone, strict=True):
        assert log.steps == own.steps
        assert log.reconstruction == pytest.approx(own.reconstruction, rel=1e-3)
        torch.testing.assert_close(stacked(x), single(x), atol=2e-3, rtol=0)


@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"precision": "bf16"}, {"class_term": "ce"}, {"lr": 1e-3}])
def test_every_setting_changes_the_course(stripes, settings):
    net, x, labels = stripes
    (plain,) = run(net, x, labels, [(0, 1)])
    (other,) = run(net, x, labels, [(0, 1)], Recipe(**(vars(QUICK) | settings)))
    assert plain.first.log != other.first.log
    assert all(math.isfinite(value) for value in other.first.log.reconstruction)


def test_half_precision_learns_as_much(stripes):
    net, x, labels = stripes
    first, last = {}, {}
    for precision in ("fp32", "bf16"):
        (found,) = run(net, x, labels, [(0, 1)], Recipe(**(vars(QUICK) | {"precision": precision})))
        first[precision], *_, last[precision] = found.first.log.reconstruction
    assert last["bf16"] < first["bf16"] - 0.05
    assert last["bf16"] == pytest.approx(last["fp32"], rel=0.03)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_small_and_missing_classes_are_clean(stripes, count):
    net, x, labels = stripes
    kept = torch.cat([(labels == 0).nonzero()[:count, 0], (labels == 1).nonzero()[:, 0]])
    first, second = run(net, x[kept], labels[kept], [(0, 1), (1, 0)])
    assert first.first.num_images == count
    assert second.first.num_images == 60
    if count == 0:
        assert first.status == "stage 1: no images"
        assert first.first.autoencoder is None


def test_nothing_kept_is_said(stripes):
    net, x, labels = stripes
    # without the class term nothing changes its class
    plain = Recipe(**(vars(QUICK) | {"alphas": (0.0, 0.0), "steps": 200}))
    (result,) = run(net, x, labels, [(0, 1)], plain)
    assert result.status == "stage 1: nothing kept"
    assert result.second is None


def test_pairs():
    assert both_directions([[1, 2], [2, 1]]) == [(1, 2), (2, 1)]
    assert checked_pairs([[1, 2], (1, 2)], 3) == [(1, 2)]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([[1, 1]], "twice"),
        ([[1, 3]], "no class 3"),
        ([[-1, 0]], "no class -1"),
        ([[1]], "not a pair"),
        ([], "at least"),
    ],
)
def test_wrong_pairs_are_one_clear_line(stripes, pairs, words):
    net, x, labels = stripes
    with pytest.raises(ValueError, match=words) as caught:
        train_pairs(net, x, labels, pairs, QUICK, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_term": "cee"}, "did you mean class_term=ce"),
        ({"steps": 0}, "at least 1"),
        ({"autoencoder": "fcc"}, "did you mean autoencoder=fc"),
        ({"autoencoder": "bottleneck"}, "no multiples of 8"),
        ({"options": {"width": [3]}}, "did you mean widths"),
    ],
)
def test_wrong_settings_are_one_clear_line(stripes, settings, words):
    net, x, labels = stripes
    # names are looked up in a registry, whose errors are the command line's
    with pytest.raises((ValueError, UsageError), match=words):
        train_pairs(net, x, labels, [(0, 1)], Recipe(**settings), seed=0)


@pytest.mark.parametrize("redraw", [False, True])
def test_redrawn_batches_overlap_and_those_of_an_epoch_do_not(redraw):
    job = Job((0, 1), 1, 1, torch.arange(100, 140), 0)
    batches = Batches([job], 10, redraw=redraw)
    drawn = torch.stack([batches.rows(step)[0] for step in range(4)])
    assert [len(set(batch)) for batch in drawn.tolist()] == [10] * 4
    assert (len(drawn.unique()) < 40) is redraw
    stacked = Batches([job, Job((1, 0), 1, 0, torch.arange(7), 0)], 10, redraw=redraw)
    assert torch.equal(stacked.rows(3)[0], drawn[3])
