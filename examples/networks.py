"""Networks of your own for `arch.build=networks:<function>` and `classifier=networks:<function>`.

Each function takes nothing and gives an nn.Module from images in [0, 1] to logits. docs/own.md explains them; the tests
train and measure each of them with random weights, without a network.
"""

import os

import torch
from torch import nn


def resnet18() -> nn.Module:
    """Torchvision's ResNet-18 for ten classes; with preprocessing.mean and .std as its weights were trained."""
    from torchvision.models import resnet18

    return resnet18(num_classes=10)


def finetuned() -> nn.Module:
    """The same network with a checkpoint of your own, as `torch.save(net.state_dict(), file)` writes it."""
    net = resnet18()
    net.load_state_dict(torch.load(os.environ["CHECKPOINT"], weights_only=True, map_location="cpu"))
    return net


def timm_vit() -> nn.Module:
    """A small vision transformer of timm's; pretrained=True fetches its weights."""
    import timm

    return timm.create_model("test_vit", pretrained=False, num_classes=10, img_size=32)


class Logits(nn.Module):
    """A network of Hugging Face's, whose output is an object with the logits in it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, K)."""
        return self.net(pixel_values=x).logits


def hugging_face() -> nn.Module:
    """A ViT of transformers; from_pretrained(<name or folder>) in the place of its constructor loads one."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(image_size=32, patch_size=8, hidden_size=48, num_hidden_layers=2, num_attention_heads=3)
    config.num_labels, config.intermediate_size = 10, 96
    return Logits(ViTForImageClassification(config))
