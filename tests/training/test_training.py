"""The loop: learning, resuming exactly, schedules against torch's own, adversaries, losses that are not finite."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import math

import pytest
import torch
from torch import nn

from bdry.core.seeds import generator
from bdry.data import DATASETS
from bdry.errors import TrainingError
from bdry.models import build_classifier
from bdry.names import LOSSES
from bdry.training import OPTIMISERS, Plan, State, fit, learning_rate, loss_and_accuracy
from bdry.training.inputs import Adversary, attacked_model
from bdry.training.loop import log_mean_loss, objective


def network(dataset, name="mlp", **options):
    mean, std = dataset.normalisation()
    options = ({"widths": [32]} if name == "mlp" else {}) | {"activation": "relu"} | options
    return build_classifier(name, dataset.image_shape, dataset.num_classes, mean=mean, std=std, seed=0, options=options)


def plan(**changes) -> Plan:
    rate = functools.partial(learning_rate, "constant", 1e-2, milestones=[], gamma=0.1, warmup=0.3)
    base = Plan(
        epochs=2,
        batch_size=16,
        learning_rate=rate,
        label_smoothing=0.1,
        crop_padding=1,
        flip=True,
        adversary=None,
        precision="fp32",
        seed=0,
        data_seed=0,
    )
    return dataclasses.replace(base, **changes)


def adam(model):
    return OPTIMISERS["adam"](model.parameters(), lr=1e-2, weight_decay=0.0, betas=[0.9, 0.999])


def run(dataset, model, optimiser, the_plan, state, moments=frozenset(), stop_after=None, measured=None):
    class Stop(Exception):
        pass

    def advance(_):
        if state.step == stop_after:
            raise Stop

    with contextlib.suppress(Stop):
        fit(
            model,
            dataset.train,
            optimiser,
            the_plan,
            state,
            moments=moments,
            measure=(measured if measured is not None else []).append,
            save=lambda: None,
            save_is_due=lambda: False,
            advance=advance,
        )


ADVERSARY = Adversary(norm="linf", eps=0.05, step_size=0.02, steps=3, restarts=2, warmup_epochs=1.0)


@pytest.mark.parametrize("adversary", [None, ADVERSARY])
@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(tiny_dataset, adversary, stop_after):
    the_plan = plan(adversary=adversary)
    whole, parts = network(tiny_dataset, "plaincnn"), network(tiny_dataset, "plaincnn")
    run(tiny_dataset, whole, adam(whole), the_plan, State())
    optimiser, state = adam(parts), State()
    run(tiny_dataset, parts, optimiser, the_plan, state, stop_after=stop_after)
    fresh = network(tiny_dataset, "plaincnn")
    fresh.load_state_dict(parts.state_dict())
    other = adam(fresh)
    other.load_state_dict(optimiser.state_dict())
    run(tiny_dataset, fresh, other, the_plan, dataclasses.replace(state))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), fresh.parameters(), strict=True))


def test_digits_are_learnt():
    digits = DATASETS["digits"]()
    model = network(digits)
    run(digits, model, adam(model), plan(epochs=5, batch_size=64, crop_padding=0, flip=False), State())
    model.eval()
    assert loss_and_accuracy(model, digits.test, 100)[1] > 0.9


def test_moments_come_in_order_with_initialisation_and_the_end(tiny_dataset):
    measured, model = [], network(tiny_dataset)
    run(tiny_dataset, model, adam(model), plan(), State(), moments=frozenset({0, 2, 3, 6}), measured=measured)
    assert [(m.step, m.epoch) for m in measured] == [(0, 0.0), (2, 2 / 3), (3, 1.0), (6, 2.0)]


@pytest.mark.parametrize(
    ("num_images", "batch_size", "sizes"), [(33, 16, [16, 17]), (34, 16, [16, 16, 2]), (1, 16, [1])]
)
def test_no_image_is_dropped_and_no_batch_has_one_image(num_images, batch_size, sizes):
    from bdry.training.loop import _batches

    the_plan = plan(batch_size=batch_size)
    batches = _batches(num_images, the_plan.steps_per_epoch(num_images), the_plan, 0)
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(num_images))


def test_overlapping_batches_begin_where_plain_ones_do():
    from bdry.training.loop import _batches

    plain, overlapping = (_batches(150, 3, plan(batch_size=64, overlap=overlap), 0) for overlap in (0, 36))
    assert [len(batch) for batch in overlapping] == [100, 86, 22]
    for own, both in zip(plain, overlapping, strict=True):
        assert torch.equal(both[: len(own)], own)
    assert torch.equal(overlapping[0][64:], plain[1][:36])


@pytest.mark.parametrize("schedule", ["constant", "multistep", "cosine", "onecycle"])
def test_schedules_are_torchs_own(schedule):
    total, peak = 40, 0.2
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], peak)
    schedulers = torch.optim.lr_scheduler
    theirs = {
        "constant": lambda: schedulers.ConstantLR(optimiser, 1.0),
        "multistep": lambda: schedulers.MultiStepLR(optimiser, [20, 30], 0.1),
        "cosine": lambda: schedulers.CosineAnnealingLR(optimiser, total),
        "onecycle": lambda: None,
    }[schedule]()
    rates = [
        learning_rate(schedule, peak, step / total, milestones=[0.5, 0.75], gamma=0.1, warmup=0.3)
        for step in range(total)
    ]
    if schedule == "onecycle":
        # torch's ends its warm-up a step early and falls to peak / 25e4, hence only the shape is compared
        assert rates[0] == pytest.approx(peak / 25)
        assert max(rates) == rates[12] == peak
        assert rates[:13] == sorted(rates[:13])
        assert rates[12:] == sorted(rates[12:], reverse=True)
        assert rates[-1] < 0.005 * peak
        return
    for rate in rates:
        assert rate == pytest.approx(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step()


def test_a_loss_that_is_not_finite_names_the_epoch_and_the_remedy(tiny_dataset):
    model = network(tiny_dataset)
    rate = functools.partial(learning_rate, "constant", 1e30, milestones=[], gamma=0.1, warmup=0.3)
    sgd = OPTIMISERS["sgd"](model.parameters(), lr=1e30, weight_decay=0.0, momentum=0.9, nesterov=False)
    measured = []
    with pytest.raises(TrainingError, match=r"in epoch 1 \(after step [12]\): lower optim.lr or adv.eps"):
        run(
            tiny_dataset,
            model,
            sgd,
            plan(learning_rate=rate, adversary=ADVERSARY),
            State(),
            moments=frozenset(range(7)),
            measured=measured,
        )
    assert all(torch.tensor(moment.step) <= 1 for moment in measured)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_warm_up_scales_the_budget(tiny_dataset, norm):
    model = network(tiny_dataset).eval()
    adversary = Adversary(norm=norm, eps=0.2, step_size=0.1, steps=2, warmup_epochs=4.0)
    x, labels = tiny_dataset.train.pixels(), tiny_dataset.train.labels
    sizes = [
        float(
            (adversary.perturb(model, x, labels, epoch, generator(0, "test")) - x)
            .flatten(1)
            .norm(dim=1, p=2 if norm == "l2" else torch.inf)
            .max()
        )
        for epoch in (0.0, 1.0, 4.0, 9.0)
    ]
    assert sizes == pytest.approx([0.0, 0.05, 0.2, 0.2], rel=1e-4)


@pytest.mark.parametrize("batchnorm", ["eval", "train"])
def test_batchnorm_during_the_attack_moves_no_running_statistics(tiny_dataset, batchnorm):
    model = network(tiny_dataset, "resnet18").train()
    x = tiny_dataset.train.pixels()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with attacked_model(model, batchnorm):
        alone, together = model(x[:2]), model(x)[:2]
    # statistics of the batch make an image's logits depend on its neighbours
    assert torch.allclose(alone, together, atol=1e-4) == (batchnorm == "eval")
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    assert all(module.training for module in model.modules())


def test_bfloat16_training_stays_close(tiny_dataset):
    losses = {}
    for precision in ("fp32", "bf16"):
        model = network(tiny_dataset)
        run(tiny_dataset, model, adam(model), plan(precision=precision), State())
        assert model.head.weight.dtype == torch.float32
        losses[precision] = loss_and_accuracy(model.eval(), tiny_dataset.train, 16)[0]
    assert losses["fp32"] != losses["bf16"]
    assert losses["fp32"] == pytest.approx(losses["bf16"], rel=0.1)


def test_the_logarithm_of_the_loss_and_its_gradient_hold_where_the_loss_is_ordinary_and_where_it_rounds_to_zero():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 3
    logits = torch.randn(12, 3, generator=draw, dtype=torch.float64).requires_grad_(True)
    expected = nn.functional.cross_entropy(logits, labels)
    found = log_mean_loss(logits, labels)
    assert float(found.detach()) == pytest.approx(math.log(float(expected.detach())), rel=1e-12)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (expected / expected.detach(), found)]
    torch.testing.assert_close(*gradients)
    # margins of 1,000 to 1,011: the mean of e^-1000 (1 + e^-1 + ...) / 12
    sure = torch.zeros(12, 2, dtype=torch.float64)
    sure[:, 0] = 1000 + torch.arange(12)
    exact = -1000 + math.log(sum(math.exp(-k) for k in range(12)) / 12)
    sure.requires_grad_(True)
    found = log_mean_loss(sure, torch.zeros(12, dtype=torch.int64))
    assert float(found.detach()) == pytest.approx(exact, rel=1e-12)
    gradient = torch.autograd.grad(found, sure)[0][:, 0]
    assert float(gradient.sum()) == pytest.approx(-1, rel=1e-12)


def test_loss_scaled_training_of_a_homogeneous_network_makes_the_smoothed_margin_rise_monotonically():
    """Lyu, Li (arXiv 1906.05890, Theorem 4.1): from a summed loss of ln 2 on, for small steps.

    The summed loss ends below e^-60; float32's own cross-entropy is 0 from e^-17 on.
    """
    toy = DATASETS["sectors"](num_points=120, noise=0.0, seed=0)
    mean, std = toy.normalisation()
    options = {"widths": [40], "activation": "relu"}
    network = build_classifier("mlp", (1, 1, 2), 2, mean=mean, std=std, seed=0, options=options, bias=False)
    optimiser = OPTIMISERS["sgd"](network.parameters(), lr=2e-3, weight_decay=0.0, momentum=0.0, nesterov=False)
    rate = functools.partial(learning_rate, "constant", 2e-3, milestones=[], gamma=0.1, warmup=0.3)
    size, smoothed, totals = len(toy.train), [], []

    @torch.no_grad()
    def look(_):
        norm = sum(float(weight.double().square().sum()) for weight in network.parameters()) ** 0.5
        logits = copy.deepcopy(network).double()(toy.train.pixels().double())
        total = float(log_mean_loss(logits, toy.train.labels)) + math.log(size)
        if total < math.log(math.log(2)):
            smoothed.append(-math.log(math.expm1(math.exp(total))) / norm**2)
            totals.append(total)

    settings = {"epochs": 3000, "batch_size": size, "learning_rate": rate, "loss_scaled": True}
    the_plan = plan(**settings, label_smoothing=0.0, crop_padding=0, flip=False)
    fit(
        network,
        toy.train,
        optimiser,
        the_plan,
        State(),
        moments=frozenset(range(0, 3001, 10)),
        measure=look,
        save=lambda: None,
        save_is_due=lambda: False,
        advance=lambda _: None,
    )
    assert len(smoothed) > 150
    assert totals[-1] < -60
    assert all(later > earlier for earlier, later in itertools.pairwise(smoothed))
    assert smoothed[-1] > 10 * smoothed[0]


@pytest.mark.parametrize(("restarts", "forwards"), [(1, 4), (2, 9)])
def test_pgd_training_with_one_restart_makes_one_pass_for_each_step_and_one(tiny_dataset, restarts, forwards):
    model = network(tiny_dataset)
    passes = []
    model.register_forward_hook(lambda module, x, y: passes.append(len(y)))
    adversary = dataclasses.replace(ADVERSARY, restarts=restarts, warmup_epochs=0.0)
    run(tiny_dataset, model, adam(model), plan(epochs=1, adversary=adversary), State(), stop_after=1)
    # three steps of each restart, the gradient step's own, and a look at the end of each of several restarts
    assert len(passes) == forwards


def test_the_losses_are_what_their_names_say():
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(7, 4, generator=draw, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 3, 1, 0])
    hinge, squared = [], []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        hinge.append(sum(max(0, 1 - row[label] + value) for k, value in enumerate(row) if k != label) / 4)
        squared.append(sum((value - (k == label)) ** 2 for k, value in enumerate(row)) / 4)
    assert float(objective("hinge", logits, labels)) == pytest.approx(sum(hinge) / 7)
    assert float(objective("squared_error", logits, labels)) == pytest.approx(sum(squared) / 7)
    assert float(objective("cross_entropy", logits, labels)) == pytest.approx(
        float(-logits.log_softmax(1)[range(7), labels].mean())
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_training_lowers_the_loss_that_it_names(loss):
    toy = DATASETS["sectors"](num_points=120, noise=0.0, seed=0)
    mean, std = toy.normalisation()
    options = {"widths": [20], "activation": "relu"}
    network = build_classifier("mlp", (1, 1, 2), 2, mean=mean, std=std, seed=0, options=options)
    optimiser = OPTIMISERS["sgd"](network.parameters(), lr=0.3, weight_decay=0.0, momentum=0.0, nesterov=False)
    rate = functools.partial(learning_rate, "constant", 0.3, milestones=[], gamma=0.1, warmup=0.3)
    said = []
    fit(
        network, toy.train, optimiser,
        plan(epochs=100, batch_size=len(toy.train), learning_rate=rate, label_smoothing=0.0, crop_padding=0, flip=False,
             loss=loss),
        State(), moments=frozenset(), measure=said.append, save=lambda: None, save_is_due=lambda: False,
        advance=said.append,
    )  # fmt: skip
    assert said[-1] < 0.5 * said[0]
    with torch.no_grad():
        left = float(objective(loss, network(toy.train.pixels()), toy.train.labels))
    assert left == pytest.approx(said[-1], rel=0.1)
