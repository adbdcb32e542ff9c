"""How often each path finder joins two points of a trained network's region, by how long the way round is.

An MLP is trained to tell a spiral arm from what is around it, in a plane of 2 or 784 dimensions (in 784 the training
points lie a little beside the plane). Which points of the plane its region joins is read off a lattice of 401 by 401
labels: components by neighbours above, below, left and right, and the shortest way over the eight neighbours, at most
8 % longer than the true one. Pairs are drawn by that way over their distance. Of pairs in different components of the
plane none can be joined in 2 dimensions but between two points of the lattice; in 784 a way may lead outside the plane.
`python benchmarks/trained_detours.py [2] [784]`
"""

from __future__ import annotations

import argparse
import math
import platform
import time

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage, sparse
from torch import Tensor, nn

from bdry.core.measuring import measuring
from bdry.core.seeds import generator, seeded_globally
from bdry.geometry.regions import FINDERS, find_paths, recheck

SIDE, EXTENT, STEP, PAIRS, SOURCES = 401, 1.7, 1e-3, 10, 24
WAYS = {"1 to 1.2": (1.0, 1.2), "1.2 to 2": (1.2, 2.0), "2 to 4": (2.0, 4.0), "above 4": (4.0, math.inf)}


def in_arm(p: Tensor) -> Tensor:
    """Whether points of the plane, (n, 2), lie in the arm: two turns, 0.28 wide, 0.57 apart from middle to middle."""
    r, angle = p.norm(dim=1), torch.atan2(p[:, 1], p[:, 0]) % (2 * torch.pi)
    turns = torch.stack([0.25 + 0.09 * (angle + 2 * torch.pi * turn) for turn in range(2)])
    return ((r - turns).abs() < 0.14).any(0)


def trained(plane: Tensor, seed: int = 0) -> nn.Module:
    """The MLP, d-64-64-2 with ReLU; class 0 is the arm."""
    draw = generator(seed, "trained detours")
    with seeded_globally(seed):
        model = nn.Sequential(nn.Linear(len(plane), 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    beside = 0.0 if len(plane) == 2 else 0.02
    for _ in range(2500):
        p = EXTENT * (2 * torch.rand(512, 2, generator=draw) - 1)
        x = p @ plane.float().T + beside * torch.randn(512, len(plane), generator=draw)
        optimiser.zero_grad()
        F.cross_entropy(model(x), 1 - in_arm(p).long()).backward()
        optimiser.step()
    return model.double()


def ways_round(inside: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Shortest ways over the lattice's region, in steps of the lattice, (len(sources), SIDE * SIDE); inf: none."""
    node = np.arange(inside.size).reshape(inside.shape)
    begin, end, length = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = (slice(0, SIDE - down), slice(max(0, -right), SIDE - max(0, right)))
        b = (slice(down, SIDE), slice(max(0, right), SIDE + min(0, right)))
        joined = inside[a] & inside[b]
        if down and right:
            # a diagonal step must not pass between two points that are outside
            joined &= inside[a[0], b[1]] & inside[b[0], a[1]]
        begin.append(node[a][joined])
        end.append(node[b][joined])
        length.append(np.full(joined.sum(), math.hypot(down, right)))
    edges = (np.concatenate(length), (np.concatenate(begin), np.concatenate(end)))
    graph = sparse.csr_matrix(edges, shape=(inside.size, inside.size))
    return sparse.csgraph.dijkstra(graph, directed=False, indices=sources)


def pairs_of(inside: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Pairs of nodes by the way round over the distance, (n, 2) each; `apart`: in different components."""
    nodes = np.flatnonzero(inside)
    sources = draw.choice(nodes, SOURCES, replace=False)
    ways, component = ways_round(inside, sources), ndimage.label(inside)[0].ravel()
    drawn: dict[str, list[tuple[int, int]]] = {}
    for source, way in zip(sources, ways, strict=True):
        for target in draw.choice(nodes, 400):
            down, right = (int(a) - int(b) for a, b in zip(divmod(source, SIDE), divmod(target, SIDE), strict=True))
            distance = math.hypot(down, right)
            if distance < 4:
                continue
            names = [] if component[source] == component[target] else ["apart"]
            names += [name for name, (low, high) in WAYS.items() if low <= way[target] / distance < high]
            for name in names:
                drawn.setdefault(name, []).append((source, target))
    return {name: draw.permutation(np.array(drawn[name]))[:PAIRS] for name in (*WAYS, "apart") if name in drawn}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dimensions", nargs="*", type=int, default=[2, 784])
    asked = parser.parse_args()
    print(f"{platform.machine()}, threads: {torch.get_num_threads()}, torch {torch.__version__}\n")
    print("| dimensions | way round / distance | finder | pairs | found | at ten times | labels a pair | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for d in asked.dimensions:
        plane = torch.linalg.qr(torch.randn(d, 2, generator=generator(0, "plane"), dtype=torch.float64)).Q
        model = trained(plane)
        grid = torch.linspace(-EXTENT, EXTENT, SIDE, dtype=torch.float64)
        points = torch.cartesian_prod(grid, grid)
        with measuring(model):
            labels = torch.cat([model(part @ plane.T).argmax(1) for part in points.split(20_000)])
            inside = (labels == 0).view(SIDE, SIDE).numpy()
            right = float(((labels == 0) == in_arm(points)).double().mean())
            for name, pairs in pairs_of(inside, np.random.default_rng(0)).items():
                x1, x2 = (points[torch.from_numpy(ends)] @ plane.T for ends in pairs.T)
                for finder in FINDERS if d == 2 else FINDERS[:1]:
                    begin = time.process_time()
                    found = find_paths(model, x1, x2, step=STEP, finder=finder, batch_size=4096)
                    taken = time.process_time() - begin
                    kept = recheck(model, found, finer=10, batch_size=4096) & found.found
                    told = f"{len(pairs)} | {int(found.found.sum())} | {int(kept.sum())}"
                    told += f" | {found.label_checks.double().mean():.0f}"
                    print(f"| {d} | {name} | {finder} | {told} | {taken:.1f} |", flush=True)
        print(f"| {d} | the network is right on {right:.1%} of the lattice | | | | | | |", flush=True)


if __name__ == "__main__":
    main()
