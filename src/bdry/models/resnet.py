"""ResNets in their 32x32 form: 3x3 stem, no stem pooling, basic blocks (He et al. 2016, arXiv 1512.03385)."""

from __future__ import annotations

from torch import Tensor, nn

from .classifier import ACTIVATIONS, ARCHITECTURES


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch-norm and a shortcut, projected by a 1x1 convolution where the shape changes."""

    def __init__(self, num_in: int, num_out: int, stride: int, activation: str) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(num_out),
            ACTIVATIONS[activation](),
            nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or num_in != num_out:
            self.shortcut = nn.Sequential(nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out))
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in, H, W) -> (N, num_out, H / stride, W / stride)."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


def _resnet(num_channels: int, blocks: tuple[int, ...], activation: str) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(num_channels, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        ACTIVATIONS[activation](),
    ]
    num_in = 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(BasicBlock(num_in, 64 * 2**stage, stride, activation))
            num_in = 64 * 2**stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@ARCHITECTURES.register("resnet18")
def resnet18(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """ResNet-18: 2-2-2-2 basic blocks, 512 features."""
    return _resnet(image_shape[0], (2, 2, 2, 2), activation)


@ARCHITECTURES.register("resnet34")
def resnet34(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """ResNet-34: 3-4-6-3 basic blocks, 512 features; DeepDIG's "ResNet" (arXiv 1912.11460, authors' code)."""
    return _resnet(image_shape[0], (3, 4, 6, 3), activation)
