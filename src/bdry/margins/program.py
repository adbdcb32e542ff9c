"""A piecewise linear network over a ball as the constraints of a mixed-integer program (Tjeng et al. 2019).

Every node's output is a block of variables. A ReLU whose sign is not settled over the ball has a binary variable that
says which side it is on, a window of max-pooling one for each entry that may be the largest.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .bounds import Bounds
from .network import Node

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

Numbers = Sequence[int] | Sequence[float] | np.ndarray

# a network with more units than this makes programs that HiGHS does not solve in useful time
MOST_UNITS = 5000


@contextmanager
def _unprinted() -> Iterator[None]:
    """Nothing that C code prints is seen: HiGHS writes some names of its functions, whatever it is told."""
    if sys.platform == "win32":
        yield
        return
    flush = ctypes.CDLL(None).fflush
    try:
        # what was written before is still seen
        flush(None)
        kept = os.dup(1)
    except OSError:
        # a process without standard output
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)


@dataclass
class Program:
    """Variables with bounds and linear constraints low <= A v <= high, built up block by block.

    lower, upper: of each variable. binary: which are 0 or 1. blocks: for each node the variables of its output.

    The solver, whose tolerances are absolute, is given every variable relative to its bounds, as a number in [-1, 1],
    and every constraint with 1 as its largest factor: small balls and large logits are solved as well as others.
    """

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    binary: list[bool] = field(default_factory=list)
    blocks: list[np.ndarray] = field(default_factory=list)
    _rows: list[tuple[Numbers, Numbers, float, float]] = field(default_factory=list)

    @classmethod
    def of(cls, bounds: Bounds) -> Program:
        """Of a network over a ball around one image.

        Raises:
            ValueError: the network is too large.
        """
        num_units = sum(node.shape.numel() for node in bounds.nodes)
        if num_units > MOST_UNITS:
            raise ValueError(
                f"a network of {num_units} units is too large for an exact program; {MOST_UNITS} is the most"
            )
        program = cls()
        for i, node in enumerate(bounds.nodes):
            low, high = (side[0].flatten().cpu().numpy() for side in bounds.boxes[i])
            block = program.variables(low, high)
            program.blocks.append(block)
            if node.inputs:
                sources = [program.blocks[source] for source in node.inputs]
                box = tuple(side[0] for side in bounds.boxes[node.inputs[0]])
                program._node(node, block, sources, bounds.nodes[node.inputs[0]].shape, box)
        return program

    def copy(self) -> Program:
        """Another with the same variables and constraints, to which more can be added."""
        return Program(list(self.lower), list(self.upper), list(self.binary), list(self.blocks), list(self._rows))

    def variables(
        self, low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray, binary: bool = False
    ) -> np.ndarray:
        """New variables between `low` and `high`; their numbers."""
        first = len(self.lower)
        self.lower += map(float, low)
        self.upper += map(float, high)
        self.binary += [binary] * len(low)
        return np.arange(first, len(self.lower))

    def constrain(
        self,
        variables: Numbers,
        factors: Numbers,
        low: float = -np.inf,
        high: float = np.inf,
    ) -> None:
        """low <= sum of factors times variables <= high."""
        self._rows.append((variables, factors, low, high))

    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle and half width of each variable's bounds; 0 and 1 for binary ones."""
        low, high = np.asarray(self.lower), np.asarray(self.upper)
        is_binary = np.asarray(self.binary)
        return np.where(is_binary, 0.0, (low + high) / 2), np.where(is_binary, 1.0, (high - low) / 2)

    def minimise(self, variable: int, *, gap: float, max_nodes: int) -> OptimizeResult:
        """SciPy's result for the least value of a variable: `x` and `mip_dual_bound` are in the variables' own units.

        gap: relative difference of value and bound at which it is done. max_nodes: branch-and-bound nodes at most.
        """
        # here, because it is slow to import and most commands do without
        from scipy.optimize import Bounds as VariableBounds
        from scipy.optimize import LinearConstraint, milp
        from scipy.sparse import csr_matrix

        middle, half = self.scale()
        rows = np.repeat(np.arange(len(self._rows)), [len(row[0]) for row in self._rows])
        columns = np.concatenate([np.asarray(row[0]) for row in self._rows])
        values = np.concatenate([np.asarray(row[1], dtype=float) for row in self._rows])
        shift = np.bincount(rows, values * middle[columns], len(self._rows))
        values = values * half[columns]
        largest = np.zeros(len(self._rows))
        np.maximum.at(largest, rows, np.abs(values))
        largest[largest == 0] = 1.0
        matrix = csr_matrix((values / largest[rows], (rows, columns)), shape=(len(self._rows), len(middle)))
        low, high = ((np.asarray([row[side] for row in self._rows]) - shift) / largest for side in (2, 3))
        cost = np.zeros(len(middle))
        cost[variable] = 1.0
        is_free = half > 0
        with _unprinted():
            found = milp(
                cost,
                constraints=LinearConstraint(matrix, low, high),
                integrality=np.asarray(self.binary, dtype=int),
                bounds=VariableBounds(
                    np.where(self.binary, self.lower, -1.0 * is_free), np.where(self.binary, self.upper, 1.0 * is_free)
                ),
                options={"mip_rel_gap": gap, "node_limit": max_nodes},
            )
        # a program without binary variables has no bound but its value
        bound = found.mip_dual_bound if found.mip_dual_bound is not None else found.fun if found.status == 0 else -1.0
        found.mip_dual_bound = float(middle[variable] + half[variable] * max(bound, -1.0))
        if found.x is not None:
            found.x = middle + half * found.x
        return found

    def _node(
        self, node: Node, block: np.ndarray, sources: list[np.ndarray], shape: torch.Size, box: tuple[torch.Tensor, ...]
    ) -> None:
        if node.layer is None:
            for out, one, other in zip(block, *sources, strict=True):
                self.constrain([out, one, other], [1, -1, -1], 0, 0)
        elif isinstance(node.layer, nn.ReLU):
            low, high = (side.flatten().tolist() for side in box)
            for out, z, below, above in zip(block, sources[0], low, high, strict=True):
                self._relu(out, z, below, above)
        elif isinstance(node.layer, nn.MaxPool2d):
            self._pool(node.layer, block, sources[0], shape, box)
        else:
            self._affine(node.layer, block, sources[0], shape)

    def _affine(self, layer: nn.Module, block: np.ndarray, source: np.ndarray, shape: torch.Size) -> None:
        with torch.no_grad():
            unit = torch.eye(shape.numel(), dtype=torch.float64).reshape(-1, *shape)
            bias = layer(torch.zeros_like(unit[:1])).flatten()
            matrix = (layer(unit).flatten(1) - bias).T.numpy()
        for out, factors, offset in zip(block, matrix, bias.tolist(), strict=True):
            used = factors.nonzero()[0]
            self.constrain([out, *source[used]], [1.0, *-factors[used]], offset, offset)

    def _relu(self, out: int, z: int, low: float, high: float) -> None:
        if low >= 0:
            self.constrain([out, z], [1, -1], 0, 0)
        elif high <= 0:
            self.constrain([out], [1], 0, 0)
        else:
            is_on = self.variables([0], [1], binary=True)[0]
            self.constrain([out, z], [1, -1], low=0)
            self.constrain([out, z, is_on], [1, -1, -low], high=-low)
            self.constrain([out, is_on], [1, -high], high=0)

    def _pool(
        self,
        layer: nn.MaxPool2d,
        block: np.ndarray,
        source: np.ndarray,
        shape: torch.Size,
        box: tuple[torch.Tensor, ...],
    ) -> None:
        kernel = int(layer.kernel_size)  # type: ignore[arg-type]
        height, wide = (size // kernel * kernel for size in shape[1:])

        def windows(values: np.ndarray) -> np.ndarray:
            cut = values.reshape(shape)[:, :height, :wide]
            cut = cut.reshape(shape[0], height // kernel, kernel, wide // kernel, kernel)
            return cut.transpose(0, 1, 3, 2, 4).reshape(-1, kernel**2)

        low, high = (windows(side.numpy()) for side in box)
        for out, entries, below, above in zip(block, windows(source), low, high, strict=True):
            may_win = above >= below.max()
            chosen = self.variables(np.zeros(may_win.sum()), np.ones(may_win.sum()), binary=True)
            self.constrain(chosen, np.ones(len(chosen)), 1, 1)
            for entry in entries:
                self.constrain([out, entry], [1, -1], low=0)
            for entry, is_largest, least in zip(entries[may_win], chosen, below[may_win], strict=True):
                room = above.max() - least
                self.constrain([out, entry, is_largest], [1, -1, room], high=room)
