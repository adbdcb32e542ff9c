"""Trains the autoencoders of many pairs side by side against one frozen classifier.

The loss is R + alpha T, reconstruction and class term. Both are computed from logits. The authors take logarithms of
rounded sigmoids and softmaxes, whose gradient is 0 as soon as one of them rounds to 0 or 1; elsewhere the numbers are
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.measuring import Model, logits_of
from ..core.seeds import generator
from .autoencoders import Autoencoder, Layer, Weights, decode, initial_weights
from .recipe import Pair, Recipe

# images that the classifier takes at once on a CPU: what it computes of more falls out of the caches
CPU_PART = 256


def reconstruction_term(decoded: Tensor, x: Tensor, kind: str) -> Tensor:
    """R of each image, the mean over its pixels; `decoded` before the sigmoid, (P, B, ...) -> (P, B).

    bce: -[x log x_hat + (1 - x) log(1 - x_hat)]; mse: (x_hat - x)^2. Source: docs/papers/karimi2020.md.
    """
    if kind == "bce":
        value = F.binary_cross_entropy_with_logits(decoded, x, reduction="none")
    else:
        value = (decoded.sigmoid() - x) ** 2
    return value.flatten(2).mean(2)


def class_term(logits: Tensor, goal: Tensor, kind: str) -> Tensor:
    """T of each image for the class `goal`, (N,): (N, K) -> (N,).

    bce: -[log p_goal + sum over k != goal of log(1 - p_k)] / K, as coded; ce: -log p_goal, about K times as heavy.
    Source: docs/papers/karimi2020.md.
    """
    log_p = logits.log_softmax(1)
    right = log_p.gather(1, goal[:, None])[:, 0]
    if kind == "ce":
        return -right
    # only the largest p can be so near to 1 that 1 - p has to be added up from the others
    top = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    small = log_p.exp().scatter(1, top, 0.0)
    log_not_p = torch.log1p(-small).scatter(1, top, others)
    wrong = log_not_p.sum(1) - log_not_p.gather(1, goal[:, None])[:, 0]
    return -(right + wrong) / logits.shape[1]


class Gradient:
    """The gradient of sum over b of share_b (R_b + alpha T_b) with respect to what the sigmoids of P networks take.

    Large tensors are kept from one step to the next: on a CPU a fresh one costs more than the arithmetic on it.
    """

    def __init__(self, like: Tensor, *, alpha: float, class_kind: str, reconstruction: str) -> None:
        self.alpha, self.class_kind, self.reconstruction = alpha, class_kind, reconstruction
        self._x_hat, self._slope, self._found = (torch.empty_like(like) for _ in range(3))

    def __call__(self, model: Model, decoded: Tensor, x: Tensor, goal: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient, of the shape of `decoded` and overwritten by the next call, and T of each image, (P, B).

        Args:
            decoded: (P, B, C, H, W), before the sigmoid.
            x: the same shape.
            goal: (P,).
            share: (P, B), weights of the mean.
        """
        with torch.no_grad():
            x_hat = torch.sigmoid(decoded, out=self._x_hat)
        images, goals, weights = x_hat.flatten(0, 1), goal.repeat_interleave(x.shape[1]), share.flatten()
        size = CPU_PART if x.device.type == "cpu" else len(images)
        parts = zip(images.split(size), goals.split(size), weights.split(size), strict=True)
        gradients, terms = zip(*(self._of_class_term(model, *part) for part in parts), strict=True)
        found = torch.cat(gradients, out=self._found.flatten(0, 1)).view_as(x_hat)
        with torch.no_grad():
            slope = torch.addcmul(x_hat, x_hat, x_hat, value=-1, out=self._slope)
            found.mul_(slope)
            weight = share[:, :, None, None, None] / x[0, 0].numel()
            difference = x_hat.sub_(x)
            if self.reconstruction == "mse":
                difference.mul_(slope).mul_(2)
            found.addcmul_(difference, weight)
        return found, torch.cat(terms).view_as(share)

    def _of_class_term(self, model: Model, images: Tensor, goals: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of alpha times the weighted sum of T with respect to the images, and T of each."""
        leaf = images.detach().requires_grad_(True)
        with torch.enable_grad():
            terms = class_term(logits_of(model, leaf).float(), goals, self.class_kind)
            (found,) = torch.autograd.grad((self.alpha * terms * weights).sum(), leaf)
        return found, terms.detach()


# a logged loss counts as an improvement when it is below this share of the best
IMPROVEMENT = 0.99


@dataclass(frozen=True)
class Job:
    """One network to train: for `pair` and `stage` (1 or 2) from `seed`, towards class `goal`.

    rows: (n,) int64, its training images' positions in the pool that all jobs of a stack share; at least one.
    """

    pair: Pair
    stage: int
    goal: int
    rows: Tensor
    seed: int

    def rng(self, purpose: str, *counters: int) -> torch.Generator:
        """The stream of one purpose: a function of (seed, stage, pair, counters) alone."""
        return generator(self.seed, f"deepdig {purpose}", self.stage, *self.pair, *counters)


@dataclass
class Log:
    """A network's loss terms on the batches of the logged steps, each before that step's update."""

    steps: list[int]
    reconstruction: list[float]
    class_term: list[float]


class Batches:
    """Rows of each job's next batch: consecutive cuts of random permutations of its images.

    Every batch is min(batch size, n) different images, the same for a job alone as in a stack. With `redraw` each is
    drawn anew, as in the authors' code; without, no image waits long, and one draw serves an epoch.
    """

    def __init__(self, jobs: Sequence[Job], batch_size: int, *, redraw: bool = False) -> None:
        self.jobs, self.size, self.redraw = jobs, batch_size, redraw
        self.orders: dict[int, tuple[int, Tensor]] = {}
        counts = torch.tensor([[min(batch_size, len(job.rows))] for job in jobs])
        # jobs with few images repeat some to fill the stack, at no weight
        self.share = (torch.arange(min(batch_size, int(counts.max()))) < counts).float() / counts

    def rows(self, step: int) -> Tensor:
        """(P, B), positions in the pool."""
        width = self.share.shape[1]
        return torch.stack([self._cut(i, step)[:width] for i in range(len(self.jobs))])

    def _cut(self, i: int, step: int) -> Tensor:
        rows = self.jobs[i].rows
        epoch, position = divmod(step, 1 if self.redraw else max(1, len(rows) // self.size))
        if self.orders.get(i, (-1,))[0] != epoch:
            order = torch.randperm(len(rows), generator=self.jobs[i].rng("order", epoch))
            if len(rows) < self.size:
                order = order.repeat(-(-self.size // len(rows)))
            self.orders[i] = (epoch, rows[order.to(rows.device)])
        return self.orders[i][1][position * self.size : (position + 1) * self.size]


def train_stack(
    model: Model,
    pool: Tensor,
    jobs: Sequence[Job],
    layers: Sequence[Layer],
    recipe: Recipe,
    told: Callable[[int], None] = lambda step: None,
) -> list[tuple[Autoencoder, Log]]:
    """The trained network of each job and its log, in the order of `jobs`.

    Args:
        model: in the state that `core.measuring` makes.
        pool: (N, C, H, W) in [0, 1].
        told: the number of each step before it is made.

    Adam works number by number: a network's course does not depend on what it is stacked with, but for rounding.
    """
    logs = [Log([], [], []) for _ in jobs]
    finished: dict[int, Autoencoder] = {}
    alive = list(range(len(jobs)))
    weights = [w.to(pool.device) for w in initial_weights(layers, [job.rng("init") for job in jobs])]
    optimiser = _adam(weights, recipe)
    stack = _Stack(pool, jobs, recipe)
    for step in range(recipe.steps):
        told(step)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate(step)
        x = stack.images(step)
        # `measuring` is an autocast around this one, hence torch would keep the weights of the first step
        with torch.autocast(pool.device.type, torch.bfloat16, recipe.precision == "bf16", cache_enabled=False):
            decoded = decode(layers, weights, x, stack.dropout(step)).float()
            slope, class_terms = stack.gradient(model, decoded.detach(), x, stack.goal, stack.share)
        optimiser.zero_grad(set_to_none=True)
        decoded.backward(slope)
        optimiser.step()
        if step % recipe.log_every and step != recipe.steps - 1:
            continue
        rebuilt = reconstruction_term(decoded.detach(), x, recipe.reconstruction)
        terms = ((term * stack.share).sum(1).tolist() for term in (rebuilt, class_terms))
        for i, r, t in zip(alive, *terms, strict=True):
            logs[i].steps.append(step)
            logs[i].reconstruction.append(r)
            logs[i].class_term.append(t)
        going = [not _has_settled(logs[i], recipe, jobs[i].stage) for i in alive]
        if all(going):
            continue
        finished |= {i: _single(layers, weights, k) for k, i in enumerate(alive) if not going[k]}
        alive = [i for k, i in enumerate(alive) if going[k]]
        if not alive:
            break
        weights, optimiser = _subset(weights, optimiser, torch.tensor(going, device=pool.device), recipe)
        stack = _Stack(pool, [jobs[i] for i in alive], recipe)
    finished |= {i: _single(layers, weights, k) for k, i in enumerate(alive)}
    return [(finished[i], logs[i]) for i in range(len(jobs))]


class _Stack:
    """What the networks now in the stack need at every step."""

    def __init__(self, pool: Tensor, jobs: Sequence[Job], recipe: Recipe) -> None:
        self.pool, self.jobs, self.dropout_rate = pool, jobs, recipe.dropout
        self.batches = Batches(jobs, recipe.batch_size, redraw=recipe.redraw)
        self.goal = torch.tensor([job.goal for job in jobs], device=pool.device)
        self.share = self.batches.share.to(pool.device)
        self._images = pool.new_empty((*self.share.shape, *pool.shape[1:]))
        self.gradient = Gradient(
            self._images,
            alpha=recipe.alphas[jobs[0].stage - 1],
            class_kind=recipe.class_term,
            reconstruction=recipe.reconstruction,
        )

    def images(self, step: int) -> Tensor:
        """The batches of all networks, (P, B, C, H, W), in memory that the next call overwrites."""
        torch.index_select(self.pool, 0, self.batches.rows(step).flatten(), out=self._images.flatten(0, 1))
        return self._images

    def dropout(self, step: int) -> Callable[[Tensor], Tensor]:
        """What follows every ReLU; each network's mask is drawn from its own stream."""
        rate = self.dropout_rate
        if rate == 0:
            return lambda hidden: hidden
        rngs = [job.rng("dropout", step) for job in self.jobs]

        def drop(hidden: Tensor) -> Tensor:
            kept = torch.stack([torch.rand(hidden.shape[1:], generator=rng) >= rate for rng in rngs])
            return hidden * kept.to(hidden.device) / (1 - rate)

        return drop


def _adam(weights: Weights, recipe: Recipe) -> torch.optim.Adam:
    for tensor in weights:
        tensor.requires_grad_(True)
    return torch.optim.Adam(weights, lr=recipe.lr, fused=True)


def _subset(
    weights: Weights, optimiser: torch.optim.Adam, going: Tensor, recipe: Recipe
) -> tuple[Weights, torch.optim.Adam]:
    """Weights and optimiser of those networks alone that go on."""
    kept = [tensor.detach()[going] for tensor in weights]
    smaller = _adam(kept, recipe)
    for before, after in zip(weights, kept, strict=True):
        state = optimiser.state[before]
        smaller.state[after] = {key: value if key == "step" else value[going] for key, value in state.items()}
    return kept, smaller


def _single(layers: Sequence[Layer], weights: Weights, k: int) -> Autoencoder:
    return Autoencoder(layers, [tensor.detach()[k : k + 1].clone() for tensor in weights])


def _has_settled(log: Log, recipe: Recipe, stage: int) -> bool:
    """Whether none of the last `patience` logged losses is an improvement on the best before them."""
    if recipe.patience is None or len(log.steps) <= recipe.patience:
        return False
    losses = [r + recipe.alphas[stage - 1] * t for r, t in zip(log.reconstruction, log.class_term, strict=True)]
    return min(losses[-recipe.patience :]) > IMPROVEMENT * min(losses[: -recipe.patience])
