"""DeepDIG on all 90 ordered pairs of MNIST-shaped classes beside one pair after the other, in one process.

Training: stacked autoencoders against a plain torch module, the literal losses and torch's Adam for each pair in turn;
the same number of steps for both, and steps are what is timed, so no time is extrapolated but the whole (`--whole` runs
it). Bisection: all segments at once against one at a time, three single-image forwards an attempt as in the authors'
code, and one. Prints the README's table; each number is the median of three.
"""

from __future__ import annotations

import argparse
import platform
import time
from functools import partial
from itertools import permutations

import torch
import torch.nn.functional as F
from frame import seconds
from torch import Tensor, nn

from bdry.core.measuring import measuring
from bdry.core.seeds import generator, seeded_globally
from bdry.deepdig import GENERATORS, OUTCOMES, Pair, PairImages, Recipe, bisect, train_pairs
from bdry.deepdig.training import Job, train_stack
from bdry.models import Classifier, build_classifier

SHAPE, NUM_CLASSES, PER_CLASS = (1, 28, 28), 10, 1000
WHOLE_STEPS = 1500


def classifier(name: str) -> Classifier:
    options = {"fcn": {"widths": [50, 50]}, "cnn": {}}[name] | {"activation": "relu"}
    return build_classifier(name, SHAPE, NUM_CLASSES, mean=[0.5], std=[0.3], seed=0, options=options)


def noise() -> tuple[Tensor, Tensor]:
    """Noise in the shape of MNIST: what training costs does not depend on what is shown."""
    x = torch.rand(NUM_CLASSES * PER_CLASS, *SHAPE, generator=generator(0, "bench"))
    return x, torch.arange(len(x)) % NUM_CLASSES


def stacked(model: Classifier, x: Tensor, labels: Tensor, recipe: Recipe, size: int) -> None:
    jobs = [Job((s, t), 1, t, (labels == s).nonzero()[:, 0], 0) for s, t in permutations(range(NUM_CLASSES), 2)]
    for start in range(0, len(jobs), size):
        train_stack(model, x, jobs[start : start + size], recipe.layers(SHAPE), recipe)


def one_after_the_other(model: Classifier, x: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """As one would write it with torch alone; the classifier's parameters are frozen here too."""
    for s, t in permutations(range(NUM_CLASSES), 2):
        images = x[labels == s]
        with seeded_globally(0):
            autoencoder = nn.Sequential(
                nn.Flatten(),
                nn.Linear(784, 100),
                nn.ReLU(),
                nn.Linear(100, 50),
                nn.ReLU(),
                nn.Linear(50, 784),
                nn.Sigmoid(),
                nn.Unflatten(1, SHAPE),
            )
        optimiser = torch.optim.Adam(autoencoder.parameters(), lr=recipe.lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, recipe.lr_decay_every, recipe.lr_decay)
        draw = generator(0, "bench", s, t)
        goal = F.one_hot(torch.full((recipe.batch_size,), t), NUM_CLASSES).float()
        for _ in range(recipe.steps):
            batch = images[torch.randperm(len(images), generator=draw)[: recipe.batch_size]]
            rebuilt = autoencoder(batch)
            wrong = F.binary_cross_entropy(model(rebuilt).softmax(1), goal)
            loss = F.binary_cross_entropy(rebuilt, batch) + recipe.alphas[0] * wrong
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def one_segment_at_a_time(model: Classifier, low: Tensor, high: Tensor, pair: Pair, *, as_coded: bool) -> int:
    """Algorithm 1 for one segment after the other; `as_coded` looks both ends up again at every attempt."""
    num_success = 0
    for a, b in zip(low, high, strict=True):
        left, right = a[None], b[None]
        label_left, label_right = pair
        for _ in range(40):
            middle = (left + right) / 2
            if as_coded:
                label_left, label_right = int(model(left).argmax()), int(model(right).argmax())
            p = model(middle).softmax(1)[0]
            label = int(p.argmax())
            if label not in pair:
                break
            if abs(float(p[pair[0]] - p[pair[1]])) < 1e-4:
                num_success += 1
                break
            if label == label_left:
                left = middle
            if label == label_right:
                right = middle
    return num_success


def segments(model: Classifier, x: Tensor, n: int) -> tuple[Tensor, Tensor, Pair]:
    """Ends predicted as the two classes that the net predicts most often, zipped."""
    with torch.no_grad():
        label = model(x).argmax(1)
    s, t = label.bincount(minlength=NUM_CLASSES).argsort(descending=True)[:2].tolist()
    source, target = x[label == s], x[label == t]
    n = min(n, len(source), len(target))
    return source[:n], target[:n], (s, t)


def whole(root: str) -> None:
    """All pairs of MNIST from training to characteristics-ready instances, on an FCN of one epoch; once."""
    from bdry.data import DATASETS

    split = DATASETS["mnist"](root=root, download=False).train
    x, labels = split.pixels(), split.labels
    model = classifier("fcn")
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for rows in torch.randperm(len(x), generator=generator(0, "bench")).split(64):
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(model(x[rows]), labels[rows]).backward()
        optimiser.step()
    for precision in ("fp32", "bf16"):
        began, done, ok, success, count = time.perf_counter(), 0, 0, 0, 0
        with measuring(model):
            for trained in train_pairs(
                model,
                x,
                labels,
                list(permutations(range(10), 2)),
                Recipe(steps=WHOLE_STEPS, precision=precision),
                seed=0,
            ):
                s, t = trained.pair
                images = PairImages(trained.pair, x[labels == s], x[labels == t], trained)
                found = GENERATORS["deepdig"](model, images, seed=0).found
                done, ok = done + 1, ok + (trained.status == "ok")
                success, count = success + found.count(OUTCOMES[0]), count + len(found.outcome)
        minutes = (time.perf_counter() - began) / 60
        print(
            f"pairs=all on MNIST, FCN, {WHOLE_STEPS} steps a stage, {precision}: {minutes:.1f} min;"
            f" {ok} of {done} pairs ok, {success} of {count} bisections",
            flush=True,
        )


def row(work: str, way: str, each: float, base: float) -> None:
    print(f"| {work} | {way} | {each * 1e3:.2f} | {base / each:.1f} |", flush=True)


def compare_training(name: str, model: Classifier, x: Tensor, labels: Tensor, steps: int) -> None:
    work = f"{name}: a step of all 90 pairs"
    base = seconds(lambda: one_after_the_other(model, x, labels, Recipe(steps=steps))) / steps
    row(work, "one pair after the other", base, base)
    for precision in ("fp32", "bf16"):
        ours = Recipe(steps=steps, precision=precision)
        for stack in (1, ours.stack_size(4 * 784, "cpu")):
            each = seconds(partial(stacked, model, x, labels, ours, stack)) / steps
            row(work, f"bdry, {precision}, stacks of {stack}", each, base)


def compare_bisection(name: str, model: Classifier, x: Tensor, num_segments: int) -> None:
    low, high, pair = segments(model, x, num_segments)
    work = f"{name}: bisecting {len(low)} segments"
    base = seconds(lambda: one_segment_at_a_time(model, low, high, pair, as_coded=True))
    row(work, "one at a time, as coded", base, base)
    single = seconds(lambda: one_segment_at_a_time(model, low, high, pair, as_coded=False))
    row(work, "one at a time, a forward an attempt", single, base)
    row(work, "bdry", seconds(lambda: [bisect(model, low, high, pair) for _ in range(20)]) / 20, base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10, help="training steps of each of the 90 pairs, for every way")
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--whole", metavar="ROOT", help="also run all pairs of MNIST, its files below ROOT")
    options = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; median of 3\n")
    print("| work | way | ms | times as fast as the first |")
    print("|---|---|---|---|")
    x, labels = noise()
    for name in ("fcn", "cnn"):
        model = classifier(name)
        with measuring(model):
            compare_training(name, model, x, labels, options.steps)
            # an untrained CNN sees one class nearly everywhere
            if name == "fcn":
                compare_bisection(name, model, x, options.segments)
    if options.whole:
        print()
        whole(options.whole)


if __name__ == "__main__":
    main()
