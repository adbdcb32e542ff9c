"""Speed of the frame beside the usual way of doing the same, in one process: `make bench`.

Training: the loop with images held as uint8 on the device, against a torch DataLoader over the same tensors.
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
from torch.utils.data import DataLoader, TensorDataset

from bdry.core.measuring import measuring
from bdry.core.seeds import generator
from bdry.data import Split
from bdry.margins import ESTIMATORS
from bdry.models import Classifier, build_classifier
from bdry.training import OPTIMISERS, Plan, State, fit, learning_rate

NUM_TRAIN, NUM_MARGINS, BATCH = 20_000, 128, 128


def images(n: int) -> Split:
    """Noise in the shape of MNIST: what is timed does not depend on what is shown."""
    draw = generator(0, "bench")
    pixels = torch.randint(0, 256, (n, 1, 28, 28), generator=draw, dtype=torch.uint8)
    return Split(pixels, torch.randint(0, 10, (n,), generator=draw), torch.arange(n))


def lenet() -> Classifier:
    return build_classifier("lenet", (1, 28, 28), 10, mean=[0.5], std=[0.3], seed=0, options={"activation": "relu"})


def adam(model: Classifier) -> torch.optim.Optimizer:
    return OPTIMISERS["adam"](model.parameters(), lr=1e-3, weight_decay=0.0, betas=[0.9, 0.999])


def train_ours(split: Split) -> None:
    model = lenet()
    rate = functools.partial(learning_rate, "constant", 1e-3, milestones=[], gamma=0.1, warmup=0.3)
    plan = Plan(
        epochs=1,
        batch_size=BATCH,
        learning_rate=rate,
        label_smoothing=0.0,
        crop_padding=0,
        flip=False,
        adversary=None,
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


def train_with_loader(split: Split, workers: int) -> None:
    model = lenet()
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


def main() -> None:
    split = images(NUM_TRAIN)
    ours = seconds(lambda: train_ours(split))
    loader = seconds(lambda: train_with_loader(split, 0))
    workers = seconds(lambda: train_with_loader(split, 2))
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
    for way, taken in (("bdry's loop", ours), ("DataLoader", loader), ("DataLoader, 2 workers", workers)):
        print(f"| LeNet, one epoch of {NUM_TRAIN} | {way} | {NUM_TRAIN / taken:.0f} | {ours / taken:.2f} |")
    for way, taken in (("bdry", batched), ("bdry, all classes", every), ("one image at a time", single)):
        print(f"| l2 DeepFool, {NUM_MARGINS} images | {way} | {NUM_MARGINS / taken:.0f} | {batched / taken:.2f} |")
    print(f"\nmean margin, bisected, over the textbook's mean ||r||: {ratio:.4f}")


if __name__ == "__main__":
    main()
