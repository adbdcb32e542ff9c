"""A piecewise linear network as a graph of affine maps, ReLUs, max-poolings and sums, traced from any nn.Module.

What bounds and exact solvers work on. `trace` follows the module's forward with torch.fx, copies its layers in float64
and turns batch-norm in eval mode, normalisation and average pooling into the affine maps that they are.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ..core.seeds import generator
from ..models.classifier import Normalise


class ChannelScale(nn.Module):
    """weight x + bias, a number each for every channel; buffers of shape (C, 1, 1), or (C,) after a flattening."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return x * self.weight + self.bias


@dataclass(frozen=True)
class Node:
    """One step of the network.

    layer: what it applies, of the types AFFINE, nn.ReLU or nn.MaxPool2d; None for a sum and for the input.
    inputs: the nodes that it takes, by number; none for the input, two for a sum. shape: of its output, without N.
    """

    layer: nn.Module | None
    inputs: tuple[int, ...]
    shape: torch.Size

    @property
    def is_affine(self) -> bool:
        """Whether it is an affine map of its one input."""
        return isinstance(self.layer, AFFINE)

    @property
    def bends(self) -> bool:
        """Whether it is where the network is not linear."""
        return isinstance(self.layer, (nn.ReLU, nn.MaxPool2d))


AFFINE = (nn.Linear, nn.Conv2d, ChannelScale, nn.Flatten)


class UnboundedLayerError(ValueError):
    """The network has a step that is none of those; the message names it."""


class _Tracer(fx.Tracer):
    """Steps into every module but torch's own and our normalisation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Normalise) or super().is_leaf_module(m, module_qualified_name)


@torch.no_grad()
def trace(model: object, image_shape: torch.Size) -> list[Node]:
    """The steps from the image (node 0) to the logits (the last node), each after those that it takes.

    Args:
        model: a module whose forward torch.fx can follow: no branch on the values of its input.
        image_shape: (C, H, W).

    Raises:
        UnboundedLayerError: a step is none of the known ones, or the forward cannot be followed.
    """
    if not isinstance(model, nn.Module):
        raise UnboundedLayerError(f"{getattr(model, '__name__', type(model).__name__)} is no torch.nn.Module")
    exact = copy.deepcopy(model).double().eval()
    try:
        graph = _Tracer().trace(exact)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnboundedLayerError(f"the forward of {type(model).__name__} cannot be followed ({first})") from None
    nodes = _Builder(exact, image_shape).build(graph)
    _check(nodes, exact, image_shape)
    return nodes


def _check(nodes: list[Node], model: nn.Module, image_shape: torch.Size) -> None:
    """Whether the graph is the module: a layer that writes into what others read, for one, is not seen in a graph."""
    device = next(model.parameters(), torch.zeros(())).device
    x = torch.rand(4, *image_shape, generator=generator(0, "trace")).to(device, torch.float64)
    logits, expected = run(nodes, x), model(x.clone())
    if bool((logits - expected).abs().max() > 1e-9 * expected.abs().max()):
        raise UnboundedLayerError(
            f"the forward of {type(model).__name__} is more than its steps (does a layer write into what others read?)"
        )


class _Builder:
    """Turns the nodes of an fx graph into ours, with a zero image running along for the shapes."""

    def __init__(self, model: nn.Module, image_shape: torch.Size) -> None:
        self.model = model
        self.modules = dict(model.named_modules())
        self.parameters = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.image_shape = image_shape
        self.nodes: list[Node] = []
        self.values: list[Tensor] = []
        # fx node -> our node by number, or the constant that it is
        self.known: dict[fx.Node, int | Tensor | None] = {}

    def build(self, graph: fx.Graph) -> list[Node]:
        for node in graph.nodes:
            if node.op == "output":
                break
            self.known[node] = self._one(node)
        result = node.args[0]
        if not isinstance(result, fx.Node) or self.known[result] != len(self.nodes) - 1:
            raise UnboundedLayerError("the network's output is not its last step")
        return self.nodes

    def _one(self, node: fx.Node) -> int | Tensor | None:
        if node.op == "placeholder":
            device = next(iter(self.parameters.values()), torch.zeros(())).device
            return self._add(None, (), torch.zeros(1, *self.image_shape, dtype=torch.float64, device=device))
        if node.op == "get_attr":
            # a parameter, a buffer, or a tensor that the forward makes anew, which the tracer keeps at the module
            return operator.attrgetter(str(node.target))(self.model)
        if node.op == "call_module":
            layer = self.modules[str(node.target)]
            return self._layer(layer, self._input(node.args[0], layer))
        return self._function(node)

    def _input(self, argument: Any, what: object) -> int:
        found = self.known.get(argument) if isinstance(argument, fx.Node) else None
        if not isinstance(found, int):
            raise _unknown(what)
        return found

    def _function(self, node: fx.Node) -> Any:
        """A call of a function or of a tensor's method."""
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        if name in ("size", "getattr", "getitem"):
            # a shape, which may only be what a view is given
            return None
        sources = [self.known.get(a) if isinstance(a, fx.Node) else None for a in node.args]
        if node.kwargs and name in ("add", "add_", "sub", "mul", "div"):
            raise _unknown(f"{name} with {', '.join(node.kwargs)}")
        if name in ("add", "iadd", "add_") and all(isinstance(source, int) for source in sources):
            first, second = (self._input(argument, name) for argument in node.args)
            if self.nodes[first].shape == self.nodes[second].shape:
                return self._add(None, (first, second), self.values[first] + self.values[second])
        if name == "neg":
            return self._with_constant("mul", (node.args[0], -1))
        if name in ("add", "sub", "mul", "truediv", "div") and len(node.args) == 2:
            return self._with_constant(name, node.args)
        if name in FUNCTIONS:
            layer = FUNCTIONS[name](node)
            if layer is not None:
                return self._layer(layer, self._input(node.args[0], name))
        raise _unknown(name)

    def _with_constant(self, name: str, arguments: tuple[Any, ...]) -> int:
        """x + c, x - c, c x, x / c, and c + x, c - x for numbers and for one number a channel, as a ChannelScale."""
        function = {"truediv": operator.truediv, "div": operator.truediv}.get(name) or getattr(operator, name)
        operands = [self.known[a] if isinstance(a, fx.Node) else a for a in arguments]
        traced = [isinstance(a, fx.Node) and type(self.known[a]) is int for a in arguments]
        if traced.count(True) != 1 or (name in ("truediv", "div") and traced[1]):
            raise _unknown(name)
        source = operands[traced.index(True)]
        assert isinstance(source, int)
        x = self.values[source]

        def at(value: Tensor) -> Tensor:
            result: Tensor = function(
                *(value if is_x else operand for is_x, operand in zip(traced, operands, strict=True))
            )
            return result

        bias, slope = at(torch.zeros_like(x)), at(torch.ones_like(x)) - at(torch.zeros_like(x))
        if bias.shape != x.shape:
            raise _unknown(name)
        # of each channel the first entry, which all others must equal
        slope, bias = slope[0], bias[0]
        first = (slice(None), *[slice(1)] * (x.ndim - 2))
        if not (bool((slope == slope[first]).all()) and bool((bias == bias[first]).all())):
            raise _unknown(f"{name} with a constant that is not one number a channel")
        scale = ChannelScale(slope[first], bias[first])
        return self._add(scale, (source,), scale(x))

    def _layer(self, layer: nn.Module, source: int) -> int:
        x = self.values[source]
        if isinstance(layer, (nn.Identity, nn.Dropout, nn.Dropout2d)):
            return source
        if isinstance(layer, nn.Flatten) and x.ndim == 2 and layer.start_dim in (1, -1):
            return source
        known = _plain(layer, x)
        if known is None:
            raise _unknown(layer)
        return self._add(known, (source,), known(x))

    def _add(self, layer: nn.Module | None, inputs: tuple[int, ...], value: Tensor) -> int:
        self.nodes.append(Node(layer, inputs, value.shape[1:]))
        self.values.append(value)
        return len(self.nodes) - 1


def _plain(layer: nn.Module, x: Tensor) -> nn.Module | None:
    """The layer as one of the types that a node may have; None where it is none. x: an input, for its shape."""
    kind = type(layer)
    if isinstance(layer, Normalise):
        return ChannelScale(1 / layer.std, -layer.mean / layer.std)
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.running_mean is not None:
        assert layer.running_var is not None
        weight = (layer.running_var + layer.eps).rsqrt() * (1.0 if layer.weight is None else layer.weight)
        bias = (0.0 if layer.bias is None else layer.bias) - layer.running_mean * weight
        wide = (-1, *[1] * (x.ndim - 2))
        return ChannelScale(weight.reshape(wide), bias.reshape(wide))
    if isinstance(layer, nn.AvgPool2d):
        return _average(layer, x)
    if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1), [1, 1]):
        return _depthwise(x, tuple(x.shape[2:]), tuple(x.shape[2:]), (0, 0))
    if kind is nn.Conv2d:
        assert isinstance(layer, nn.Conv2d)
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return layer if plain and x.ndim == 4 else None
    if kind is nn.MaxPool2d:
        assert isinstance(layer, nn.MaxPool2d)
        kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
        usual = (_pair(layer.padding), _pair(layer.dilation), layer.ceil_mode) == ((0, 0), (1, 1), False)
        square = kernel[0] == kernel[1] and kernel == stride
        return nn.MaxPool2d(kernel[0]) if usual and square and not layer.return_indices else None
    if kind is nn.Flatten:
        assert isinstance(layer, nn.Flatten)
        return nn.Flatten() if (layer.start_dim, layer.end_dim) == (1, -1) else None
    if kind is nn.Linear:
        return layer if x.ndim == 2 else None
    return nn.ReLU() if kind is nn.ReLU else None


def _average(layer: nn.AvgPool2d, x: Tensor) -> nn.Module | None:
    padding = _pair(layer.padding)
    if layer.ceil_mode or layer.divisor_override is not None or (padding != (0, 0) and not layer.count_include_pad):
        return None
    return _depthwise(x, _pair(layer.kernel_size), _pair(layer.stride), padding)


def _depthwise(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> nn.Conv2d:
    """Average pooling as a convolution of each channel."""
    channels, (height, width) = x.shape[1], kernel
    # on the meta device, where no weights are drawn from torch's global generator
    layer = nn.Conv2d(
        channels,
        channels,
        (height, width),
        stride,  # type: ignore[arg-type]
        padding,  # type: ignore[arg-type]
        groups=channels,
        bias=False,
        device="meta",
    )
    layer.weight = nn.Parameter(x.new_full((channels, 1, height, width), 1 / (height * width)))
    return layer


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _pooling(kind: type[nn.AvgPool2d] | type[nn.MaxPool2d]) -> Callable[[fx.Node], nn.Module | None]:
    def layer(node: fx.Node) -> nn.Module | None:
        own = {key: value for key, value in node.kwargs.items() if value not in (None, False)}
        return kind(*node.args[1:], **own)  # type: ignore[arg-type]

    return layer


def _flattening(node: fx.Node) -> nn.Module | None:
    """x.flatten(1), torch.flatten(x, 1), and x.view(n, -1) or x.reshape(n, -1) whatever n is called."""
    if node.target in ("view", "reshape"):
        return nn.Flatten() if len(node.args) == 3 and node.args[2] == -1 else None
    start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
    return nn.Flatten() if start == 1 else None


# what functions and methods of tensors are layers, by name
FUNCTIONS: dict[str, Callable[[fx.Node], nn.Module | None]] = {
    "relu": lambda node: nn.ReLU(),
    "relu_": lambda node: nn.ReLU(),
    "flatten": _flattening,
    "view": _flattening,
    "reshape": _flattening,
    "avg_pool2d": _pooling(nn.AvgPool2d),
    "max_pool2d": _pooling(nn.MaxPool2d),
    "boolean_dispatch": _pooling(nn.MaxPool2d),
    "adaptive_avg_pool2d": lambda node: nn.AdaptiveAvgPool2d(node.args[1]),  # type: ignore[arg-type]
    "dropout": lambda node: nn.Dropout(),
}


def _unknown(what: object) -> UnboundedLayerError:
    name = repr(what) if isinstance(what, nn.Module) and not list(what.children()) else str(what)
    return UnboundedLayerError(
        f"no bounds for {name}; known are linear and convolutional layers, batch-norm in eval mode, ReLU, average and "
        "max-pooling, flattening and sums"
    )


@torch.no_grad()
def run(nodes: list[Node], x: Tensor) -> Tensor:
    """The logits of images x, (N, C, H, W) in float64, by the graph itself."""
    values: list[Tensor] = []
    for node in nodes:
        if not node.inputs:
            values.append(x)
        elif node.layer is None:
            values.append(values[node.inputs[0]] + values[node.inputs[1]])
        else:
            values.append(node.layer(values[node.inputs[0]]))
    return values[-1]


def spread(layer: nn.Module, reach: Tensor, power: int) -> Tensor:
    """The sum over inputs of |weight|^power reach: how far an output moves where inputs move by `reach`, (N, ...)."""
    if isinstance(layer, nn.Flatten):
        return reach.flatten(1)
    assert isinstance(layer, (nn.Linear, nn.Conv2d, ChannelScale))
    weight = layer.weight.abs() ** power
    if isinstance(layer, ChannelScale):
        return reach * weight
    if isinstance(layer, nn.Linear):
        return F.linear(reach, weight)
    return F.conv2d(reach, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
