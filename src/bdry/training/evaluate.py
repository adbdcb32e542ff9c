"""Loss and accuracy of a classifier on a split."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..core.measuring import Model
from ..data import Split


@torch.no_grad()
def loss_and_accuracy(model: Model, split: Split, batch_size: int) -> tuple[float, float]:
    """Mean cross-entropy (without label smoothing) and share of right labels."""
    loss, correct = 0.0, 0
    for batch in split.batches(batch_size):
        logits = model(batch.pixels())
        loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
        correct += int((logits.argmax(1) == batch.labels).sum())
    return loss / len(split), correct / len(split)
