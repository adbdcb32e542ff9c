"""The training loop, readable in one sitting.

Every random draw is a function of (seed, purpose, step or epoch), see `core.seeds`: a run resumed from the state after
step n goes on exactly as the one that was never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.measuring import Model
from ..core.moment import Moment
from ..core.seeds import derive, generator, seeded_globally
from ..data import Split
from ..errors import TrainingError
from .inputs import Adversary, augment


@dataclass(frozen=True)
class Plan:
    """What to train for how long. `learning_rate` maps the share of training done, in [0, 1], to the rate.

    loss: one of `LOSSES`. label_smoothing: of the cross-entropy. loss_scaled: each step is divided by the batch's
    loss, see `log_mean_loss`.
    overlap: images of the next batch that each has besides its own, as in the code of arXiv 1912.11460 (36 of 64).
    """

    epochs: int
    batch_size: int
    learning_rate: Callable[[float], float]
    label_smoothing: float
    crop_padding: int
    flip: bool
    adversary: Adversary | None
    precision: str
    seed: int
    data_seed: int
    loss_scaled: bool = False
    overlap: int = 0
    loss: str = "cross_entropy"

    def steps_per_epoch(self, num_images: int) -> int:
        """Batches an epoch; a last batch of a single image is joined to the one before (batch-norm needs two)."""
        full, rest = divmod(num_images, self.batch_size)
        return full + (rest > 1 or full == 0)


@dataclass
class State:
    """Where training is: optimiser steps done, and the sum and number of batch losses since the last measurement.

    `begun` once initialisation has been measured.
    """

    begun: bool = False
    step: int = 0
    objective_sum: float = 0.0
    objective_count: int = 0


def fit(
    classifier: nn.Module,
    split: Split,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    state: State,
    *,
    moments: frozenset[int],
    measure: Callable[[Moment], None],
    save: Callable[[], None],
    save_is_due: Callable[[], bool],
    advance: Callable[[float], None],
) -> None:
    """Trains from `state` to the end of the plan, changing the classifier, optimiser and state in place.

    Args:
        moments: the steps after which to `measure`.
        measure: measures the classifier; called with parameters and modes as training left them.
        save: called after each measurement, hence a saved state never lacks the measurements of its step, and
            whenever `save_is_due` in between.
        advance: called after every step with the batch's loss, for progress.

    Raises:
        TrainingError: the loss or a weight is not finite. Such a state is neither measured nor saved.
    """
    steps_per_epoch = plan.steps_per_epoch(len(split))
    total_steps = plan.epochs * steps_per_epoch
    order: tuple[Tensor, ...] = ()
    order_epoch = -1
    if not state.begun:
        if 0 in moments:
            measure(Moment(0, 0.0))
        state.begun = True
        save()
    classifier.train()
    while state.step < total_steps:
        epoch, position = divmod(state.step, steps_per_epoch)
        if epoch != order_epoch:
            order, order_epoch = _batches(len(split), steps_per_epoch, plan, epoch), epoch
        batch = split[order[position].to(split.labels.device)]
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate(state.step / total_steps)
        loss = _step(classifier, batch, optimiser, plan, Moment(state.step, state.step / steps_per_epoch))
        state.step += 1
        state.objective_sum += loss
        state.objective_count += 1
        if state.step in moments or save_is_due():
            moment = Moment(state.step, state.step / steps_per_epoch)
            _require(_weights_are_finite(classifier), "a weight is not finite", moment, plan)
            if state.step in moments:
                measure(moment)
                state.objective_sum, state.objective_count = 0.0, 0
            save()
        advance(loss)


def _batches(num_images: int, steps_per_epoch: int, plan: Plan, epoch: int) -> tuple[Tensor, ...]:
    order = torch.randperm(num_images, generator=generator(plan.data_seed, "order", epoch))
    cuts = [position * plan.batch_size for position in range(1, steps_per_epoch)]
    if plan.overlap:
        return tuple(order[begin : end + plan.overlap] for begin, end in pairwise([0, *cuts, num_images]))
    return torch.tensor_split(order, cuts)


def _step(classifier: nn.Module, batch: Split, optimiser: torch.optim.Optimizer, plan: Plan, before: Moment) -> float:
    x = augment(
        batch.pixels(),
        crop_padding=plan.crop_padding,
        flip=plan.flip,
        generator=generator(plan.data_seed, "augmentation", before.step),
    )
    # the layers' own chance, such as dropout's
    chance = seeded_globally(derive(plan.seed, "layers", before.step))
    with chance, torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=plan.precision == "bf16"):
        if plan.adversary is not None:
            x = plan.adversary.perturb(
                classifier, x, batch.labels, before.epoch, generator(plan.seed, "attack", before.step)
            )
        logits = classifier(x)
    if plan.loss_scaled:
        loss = log_mean_loss(logits, batch.labels)
        value = math.exp(float(loss.detach()))
    else:
        loss = objective(plan.loss, logits, batch.labels, plan.label_smoothing)
        value = float(loss.detach())
    _require(math.isfinite(value), f"the loss is {value}", before, plan)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return value


def objective(name: str, logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The mean loss `name` of a batch, (N, K), (N,) -> ().

    Args:
        name: `cross_entropy`; `hinge`, the mean over classes of max(0, 1 - f_y + f_k) (Weston and Watkins 1999);
            `squared_error`, the mean over classes of the squared distance to the one-hot label.
        label_smoothing: of the cross-entropy.
    """
    if name == "hinge":
        return F.multi_margin_loss(logits, labels)
    if name == "squared_error":
        return F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).to(logits.dtype))
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def log_mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The logarithm of the mean cross-entropy, right also where the loss itself rounds to 0. (N, K), (N,) -> ().

    Its gradient is the loss's over the loss: a step along it is a step of the loss whose size is proportional to
    1 / loss, as Lyu, Li (arXiv 1906.05890, section 5) train in order to come near the limit direction.
    """
    own = logits.gather(1, labels[:, None])
    others = (logits - own).scatter(1, labels[:, None], -torch.inf)
    # an image's loss is log(1 + e^s); for s << 0 its logarithm is s
    s = others.logsumexp(1)
    near = s.clamp_min(-15.0)
    log_losses = torch.where(s > -15, F.softplus(near).log(), s)
    return log_losses.logsumexp(0) - math.log(len(labels))


def _weights_are_finite(classifier: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in classifier.parameters())


def _require(finite: bool, problem: str, moment: Moment, plan: Plan) -> None:
    if not finite:
        remedy = "lower optim.lr" + (" or adv.eps, or raise adv.warmup_epochs" if plan.adversary is not None else "")
        raise TrainingError(f"{problem} in epoch {int(moment.epoch) + 1} (after step {moment.step}): {remedy}")


@torch.no_grad()
def loss_and_accuracy(model: Model, split: Split, batch_size: int) -> tuple[float, float]:
    """Mean cross-entropy (without label smoothing) and share of right labels."""
    loss, correct = 0.0, 0
    for batch in split.batches(batch_size):
        logits = model(batch.pixels())
        loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
        correct += int((logits.argmax(1) == batch.labels).sum())
    return loss / len(split), correct / len(split)
