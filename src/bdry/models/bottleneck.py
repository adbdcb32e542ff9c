"""`bottleneck29`: the small ResNet of li2018's authors, pre-activation bottleneck blocks as tflearn builds them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .classifier import ACTIVATIONS, ARCHITECTURES

# (blocks, width of the bottleneck, channels out, stride) of each group
GROUPS = ((3, 16, 64, 1), (1, 32, 128, 2), (2, 32, 128, 1), (1, 64, 256, 2), (2, 64, 256, 1))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the shortcut is pooled and filled up with channels of 0, it has no weights."""

    def __init__(self, num_in: int, width: int, num_out: int, stride: int, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.stride, self.filled = stride, (num_out - num_in) // 2
        self.residual = nn.Sequential(
            nn.BatchNorm2d(num_in),
            act(),
            nn.Conv2d(num_in, width, 1, stride),
            nn.BatchNorm2d(width),
            act(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, num_out, 1),
            act(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in, H, W) -> (N, num_out, H / stride, W / stride), rounded up as a strided convolution does."""
        shortcut = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True) if self.stride > 1 else x
        y: Tensor = self.residual(x) + F.pad(shortcut, [0, 0, 0, 0, self.filled, self.filled])
        return y


@ARCHITECTURES.register("bottleneck29")
def bottleneck29(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """A 3x3 convolution of 64, nine bottleneck blocks up to 256 channels, average pooling, a layer of 200.

    With `feature_dim=2` and 2 classes of MNIST it has the 321,824 parameters of the authors' checkpoint
    (docs/papers/li2018.md).

    Differs: the authors' batch-norm ran on its initial statistics, by a mode of tflearn's that was never switched on;
    ours is ordinary batch-norm. tflearn versions differ in whether a block without a change of channels adds its
    input; ours does.
    """
    act = ACTIVATIONS[activation]
    layers: list[nn.Module] = [nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False), act()]
    num_in = 64
    for count, width, num_out, stride in GROUPS:
        for _ in range(count):
            layers.append(Bottleneck(num_in, width, num_out, stride, activation))
            num_in = num_out
    layers += [nn.BatchNorm2d(num_in), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_in, 200), act()]
    return nn.Sequential(*layers)
