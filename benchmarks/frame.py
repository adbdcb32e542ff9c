"""Speed of the frame beside the usual way of doing the same, in one process: `make bench`.

Training: the loop with images held as uint8 on the device, against a torch DataLoader over the same tensors, standard
and with PGD of 7 steps against a bare loop of the same; airbench in channels_last against the contiguous layout too.
Margins: batched DeepFool with finished images dropped, against the textbook loop over single images with all classes.
Prints the README's table; each number is the median of three. CPU seconds, of the process and of those it started,
stand beside wall seconds, and ways are compared by them: on a machine with other work they are what tells.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bdry.core.measuring import measuring
from bdry.core.seeds import generator
from bdry.data import Split
from bdry.margins import ESTIMATORS
from bdry.models import Classifier, build_classifier
from bdry.training import OPTIMISERS, Plan, State, fit, learning_rate
from bdry.training.inputs import Adversary

NUM_TRAIN, NUM_MARGINS, BATCH = 20_000, 128, 128
# images of an epoch of LeNet and of airbench with PGD, which take longer
NUM_SLOW, NUM_SLOWEST = 1_024, 256
EPS, PGD_STEPS = 0.1, 7
Build = Callable[[], Classifier]


def images(n: int, shape: tuple[int, int, int] = (1, 28, 28)) -> Split:
    """Noise in the shape of MNIST: what is timed does not depend on what is shown."""
    draw = generator(0, "bench")
    pixels = torch.randint(0, 256, (n, *shape), generator=draw, dtype=torch.uint8)
    return Split(pixels, torch.randint(0, 10, (n,), generator=draw), torch.arange(n))


def lenet() -> Classifier:
    return build_classifier("lenet", (1, 28, 28), 10, mean=[0.5], std=[0.3], seed=0, options={"activation": "relu"})


def airbench() -> Classifier:
    options = {"stem": 24, "widths": [32, 128, 128], "norm": "batch", "activation": "gelu"}
    return build_classifier("airbench", (3, 32, 32), 10, mean=[0.5] * 3, std=[0.25] * 3, seed=0, options=options)


def airbench_contiguous() -> Classifier:
    model = airbench()
    model.body[0] = nn.Identity()
    return model.to(memory_format=torch.contiguous_format)


def adam(model: Classifier) -> torch.optim.Optimizer:
    return OPTIMISERS["adam"](model.parameters(), lr=1e-3, weight_decay=0.0, betas=[0.9, 0.999])


def train_ours(split: Split, build: Build, adversary: Adversary | None = None) -> None:
    model = build()
    rate = functools.partial(learning_rate, "constant", 1e-3, milestones=[], gamma=0.1, warmup=0.3)
    plan = Plan(
        epochs=1,
        batch_size=BATCH,
        learning_rate=rate,
        label_smoothing=0.0,
        crop_padding=0,
        flip=False,
        adversary=adversary,
        precision="fp32",
        seed=0,
        data_seed=0,
    )
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    fit(
        model,
        split,
        adam(model),
        plan,
        State(),
        moments=frozenset(),
        measure=nothing,
        save=nothing,
        save_is_due=lambda: False,
        advance=nothing,
    )


def train_with_loader(split: Split, build: Build, workers: int) -> None:
    model = build()
    optimiser = adam(model)
    loader = DataLoader(
        TensorDataset(split.images, split.labels), BATCH, shuffle=True, num_workers=workers, generator=generator(0, "l")
    )
    for batch, labels in loader:
        loss = F.cross_entropy(model(batch.float() / 255), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        float(loss.detach())


def train_bare(split: Split, build: Build, pgd_steps: int) -> None:
    """The shortest loop that does the same work: shuffled slices, linf PGD from a random start, Adam."""
    model = build()
    optimiser = adam(model)
    for rows in torch.randperm(len(split), generator=generator(0, "l")).split(BATCH):
        x, labels = split.images[rows].float() / 255, split.labels[rows]
        if pgd_steps:
            model.eval()
            z = (x + (2 * torch.rand(x.shape, generator=generator(0, "p")) - 1) * EPS).clamp(0, 1)
            for _ in range(pgd_steps):
                z.requires_grad_(True)
                gradient = torch.autograd.grad(F.cross_entropy(model(z), labels, reduction="sum"), z)[0]
                z = (x + (z.detach() + EPS / 4 * gradient.sign() - x).clamp(-EPS, EPS)).clamp(0, 1)
            x = z
            model.train()
        loss = F.cross_entropy(model(x), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        float(loss.detach())


def one_by_one(model: Classifier, x: torch.Tensor) -> list[float]:
    """Textbook DeepFool (arXiv 1511.04599, algorithm 2), an image at a time, as its authors' code loops."""
    margins = []
    for image in x:
        start = int(model(image[None]).argmax())
        r = torch.zeros_like(image)
        for _ in range(50):
            z = (image + 1.02 * r)[None].requires_grad_(True)
            logits = model(z)[0]
            if int(logits.argmax()) != start:
                break
            gradients = [torch.autograd.grad(logits[k], z, retain_graph=True)[0][0] for k in range(10)]
            steps = []
            for k in range(10):
                if k != start:
                    w = gradients[k] - gradients[start]
                    f = float((logits[k] - logits[start]).detach().abs())
                    steps.append((f / float(w.norm()), f / float(w.norm()) ** 2 * w))
            r = r + min(steps, key=lambda step: step[0])[1]
        margins.append(float(r.norm()))
    return margins


class Taken(NamedTuple):
    """Seconds of one piece of work: by the clock, and of all processors."""

    wall: float
    cpu: float


def taken(ways: dict[str, Callable[[], object]]) -> dict[str, Taken]:
    """Medians of three rounds in which all ways take turns, after one that does not count."""
    rounds: dict[str, list[Taken]] = {way: [] for way in ways}
    for _ in range(4):
        for way, work in ways.items():
            wall, cpu = time.perf_counter(), sum(os.times()[:4])
            work()
            rounds[way].append(Taken(time.perf_counter() - wall, sum(os.times()[:4]) - cpu))
    return {
        way: Taken(*(statistics.median(part) for part in zip(*all_of[1:], strict=True)))
        for way, all_of in rounds.items()
    }


def print_rows(work: str, num_images: int, ways: dict[str, Taken]) -> None:
    """One row for each way of doing the same work; the first is what the others are compared with."""
    first = next(iter(ways.values()))
    for way, took in ways.items():
        ratio = f"{first.cpu / took.cpu:.2f}"
        print(f"| {work} | {way} | {num_images / took.wall:.0f} | {num_images / took.cpu:.0f} | {ratio} |", flush=True)


def print_epochs(name: str, split: Split, build: Build, adversary: Adversary, contiguous: Build | None = None) -> None:
    """Rows of a standard and of a PGD epoch: by the loop, by a bare loop, and by the loop in the contiguous layout.

    Then the PGD epoch's CPU seconds over those of (steps + 1) standard epochs of the same images.
    """
    steps = adversary.steps
    ways: dict[str, Callable[[], object]] = {
        "bdry's loop": lambda: train_ours(split, build),
        "bare loop": lambda: train_bare(split, build, 0),
    }
    attacked: dict[str, Callable[[], object]] = {
        "bdry's loop": lambda: train_ours(split, build, adversary),
        "bare loop": lambda: train_bare(split, build, steps),
    }
    if contiguous is not None:
        ways["bdry's loop, contiguous"] = lambda: train_ours(split, contiguous)
        attacked["bdry's loop, contiguous"] = lambda: train_ours(split, contiguous, adversary)
    # all in turn: standard and PGD epochs are compared too
    found = taken({**ways, **{f"PGD: {way}": work for way, work in attacked.items()}})
    standard = {way: found[way] for way in ways}
    adversarial = {way: found[f"PGD: {way}"] for way in attacked}
    print_rows(f"{name}, one epoch of {len(split)}", len(split), standard)
    print_rows(f"{name}, PGD of {steps} steps of {len(split)}", len(split), adversarial)
    ours = [rows["bdry's loop"].cpu for rows in (standard, adversarial)]
    work = f"{name}, PGD epoch over {steps + 1} standard epochs"
    print(f"| {work} | bdry's loop | | | {ours[1] / (ours[0] * (steps + 1)):.2f} |", flush=True)


def lenet_beside_loaders() -> None:
    split = images(NUM_TRAIN)
    ways: dict[str, Callable[[], object]] = {
        "bdry's loop": lambda: train_ours(split, lenet),
        "DataLoader": lambda: train_with_loader(split, lenet, 0),
        "DataLoader, 2 workers": lambda: train_with_loader(split, lenet, 2),
        "bare loop": lambda: train_bare(split, lenet, 0),
    }
    print_rows(f"LeNet, one epoch of {NUM_TRAIN}", NUM_TRAIN, taken(ways))


def deepfools() -> None:
    model, x = lenet(), images(NUM_MARGINS).pixels()
    deepfool = ESTIMATORS["deepfool"]
    with measuring(model):
        ways: dict[str, Callable[[], object]] = {
            "bdry": lambda: deepfool(model, x),
            "bdry, all classes": lambda: deepfool(model, x, candidates=None),
            "one image at a time": lambda: one_by_one(model, x),
        }
        found = taken(ways)
        ratio = float(deepfool(model, x).margin.mean()) / statistics.mean(one_by_one(model, x))
    print_rows(f"l2 DeepFool, {NUM_MARGINS} images", NUM_MARGINS, found)
    print(f"\nmean margin, bisected, over the textbook's mean ||r||: {ratio:.4f}")


ADVERSARY = Adversary(norm="linf", eps=EPS, step_size=EPS / 4, steps=PGD_STEPS)
PARTS: dict[str, Callable[[], None]] = {
    "loaders": lenet_beside_loaders,
    "lenet": lambda: print_epochs("LeNet", images(NUM_SLOW), lenet, ADVERSARY),
    "airbench": lambda: print_epochs(
        "airbench", images(NUM_SLOWEST, (3, 32, 32)), airbench, ADVERSARY, airbench_contiguous
    ),
    "deepfool": deepfools,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all where none is given")
    asked = parser.parse_args().parts or list(PARTS)
    print(f"{platform.machine()}, threads: {torch.get_num_threads()}, torch {torch.__version__}; median of 3\n")
    print("| work | way | images/s | images/CPU s | against the first, by CPU |")
    print("|---|---|---|---|---|", flush=True)
    for part in asked:
        PARTS[part]()


if __name__ == "__main__":
    main()
