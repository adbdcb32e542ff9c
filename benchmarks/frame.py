"""Speed of the frame beside the usual way of doing the same, in one process: `make bench`.

Training: the loop with images held as uint8 on the device, against a torch DataLoader over the same tensors, standard
and with PGD of 7 steps against a bare loop of the same; airbench in channels_last against the contiguous layout too.
Margins: batched DeepFool with finished images dropped, against the textbook loop over single images with all classes.
Prints the README's table; each number is the median of three.
"""

from __future__ import annotations

import functools
import platform
import statistics
import time
from collections.abc import Callable

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
from bdry.training.adversary import Adversary

NUM_TRAIN, NUM_MARGINS, BATCH = 20_000, 128, 128
# images of an epoch of airbench, and of LeNet with PGD, which take longer
NUM_SLOW = 2_048
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


def seconds(work: Callable[[], object]) -> float:
    """Median of three, after one that does not count."""
    work()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def print_epochs(
    name: str, split: Split, build: Build, adversary: Adversary | None, contiguous: Build | None = None
) -> None:
    """Rows of one epoch: by the loop, by a bare loop, and by the loop in the contiguous layout."""
    steps = adversary.steps if adversary else 0
    times = {"bdry's loop": seconds(lambda: train_ours(split, build, adversary))}
    times["bare loop"] = seconds(lambda: train_bare(split, build, steps))
    if contiguous is not None:
        times["bdry's loop, contiguous"] = seconds(lambda: train_ours(split, contiguous, adversary))
    work = f"{name}, {f'PGD of {steps} steps' if steps else 'one epoch'} of {len(split)}"
    for way, taken in times.items():
        print(f"| {work} | {way} | {len(split) / taken:.0f} | {times[next(iter(times))] / taken:.2f} |")


def main() -> None:
    split = images(NUM_TRAIN)
    ours = seconds(lambda: train_ours(split, lenet))
    loader = seconds(lambda: train_with_loader(split, lenet, 0))
    workers = seconds(lambda: train_with_loader(split, lenet, 2))
    bare = seconds(lambda: train_bare(split, lenet, 0))
    model, x = lenet(), images(NUM_MARGINS).pixels()
    deepfool = ESTIMATORS["deepfool"]
    with measuring(model):
        batched = seconds(lambda: deepfool(model, x))
        every = seconds(lambda: deepfool(model, x, candidates=None))
        single = seconds(lambda: one_by_one(model, x))
        ratio = float(deepfool(model, x).margin.mean()) / statistics.mean(one_by_one(model, x))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; median of 3\n")
    print("| work | way | images/s | against the first |")
    print("|---|---|---|---|")
    for way, taken in (
        ("bdry's loop", ours),
        ("DataLoader", loader),
        ("DataLoader, 2 workers", workers),
        ("bare loop", bare),
    ):
        print(f"| LeNet, one epoch of {NUM_TRAIN} | {way} | {NUM_TRAIN / taken:.0f} | {ours / taken:.2f} |")
    colours, greys = images(NUM_SLOW, (3, 32, 32)), images(NUM_SLOW)
    adversary = Adversary(norm="linf", eps=EPS, step_size=EPS / 4, steps=PGD_STEPS)
    print_epochs("airbench", colours, airbench, None, airbench_contiguous)
    print_epochs("LeNet", greys, lenet, adversary)
    print_epochs("airbench", colours, airbench, adversary, airbench_contiguous)
    for way, taken in (("bdry", batched), ("bdry, all classes", every), ("one image at a time", single)):
        print(f"| l2 DeepFool, {NUM_MARGINS} images | {way} | {NUM_MARGINS / taken:.0f} | {batched / taken:.2f} |")
    print(f"\nmean margin, bisected, over the textbook's mean ||r||: {ratio:.4f}")


if __name__ == "__main__":
    main()
