"""Do a GPU and the CPU find the same? `python benchmarks/devices.py [--device cuda] [--to FILE.csv]`.

A small smooth network, trained on scikit-learn's digits by the CPU, is measured by every probe on the CPU and on the
device. Draws are the same everywhere, hence so are the tables but for rounding. They are compared number by number:
agreement is meant where 95 % of a table's numbers are within 1 % of each other, since a walk may take another turn
where two ways are equally good.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from nets import load

from bdry.core.moment import Moment
from bdry.margins import ESTIMATORS
from bdry.session.build import prepare_machine
from bdry.studies.curvature.settings import CurvatureSettings
from bdry.studies.deepdig.settings import DeepDigSettings
from bdry.studies.detection.settings import DetectionSettings
from bdry.studies.directions.settings import DirectionsSettings
from bdry.studies.lastlayer.settings import SvmSettings
from bdry.studies.margins.settings import MarginSettings
from bdry.studies.noise.settings import NoiseSettings
from bdry.studies.probes import PROBES, Context
from bdry.studies.regions.settings import RegionsSettings
from bdry.studies.shared.settings import SharedSettings

CLOSE, ENOUGH = (1e-4, 1e-2), 0.95
# whose columns are seconds
NOT_COMPARED = ("svm_timings", "runtime")
MEASURED: dict[str, object] = {
    "margin": MarginSettings(num_train=50, num_test=50, beside=["walk", "fmn"]),
    "directions": DirectionsSettings(num_test=20),
    "noise": NoiseSettings(num_test=100),
    "svm": SvmSettings(num_train=200, variants=["S1", "S3"], map_resolution=0),
    "deepdig": DeepDigSettings(widths=[40, 20], steps=60, num_partners=5, max_starts=10, further_grids=[]),
    "regions": RegionsSettings(num_pairs=3, spacing=0.01, ks=[2, 5], num_combinations=10),
    "curvature": CurvatureSettings(num_images=4, num_directions=10, methods=["ad"], num_sections=0),
    "shared": SharedSettings(num_train=12, num_test=6, num_noise=50, num_pca=50, num_per_image=3, dim=5),
    "detect": DetectionSettings(num_images=10, num_directions=[10]),
}


def compared(
    probe: str, one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame]
) -> Iterator[dict[str, object]]:
    """A row for each table that the probe filled on both machines."""
    for name in sorted((one.keys() | other.keys()) - set(NOT_COMPARED)):
        apart = np.array([np.inf])
        if name in one and name in other and one[name].shape == other[name].shape:
            numeric = one[name].select_dtypes("number").columns
            a, b = (table[name][numeric].to_numpy(float) for table in (one, other))
            size = np.fmax(np.abs(a), np.abs(b))
            apart = np.where(a == b, 0.0, np.abs(a - b) / np.where(size > 0, size, 1.0))
            # a number beside nan is as far apart as can be
            apart = np.where(np.isnan(a) & np.isnan(b), 0.0, np.where(np.isnan(apart), np.inf, apart))
        shares = {f"within_{close:g}": (apart <= close).mean() for close in CLOSE}
        yield {"probe": probe, "table": name, "numbers": apart.size, **shares, "largest_difference": apart.max()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--to", type=Path, metavar="FILE", help="the table as CSV, too")
    parser.add_argument("--probes", nargs="+", choices=list(MEASURED), default=list(MEASURED))
    asked = parser.parse_args()
    device = prepare_machine(asked.device, 1)
    here, data = load("digits")
    subjects = [(here, data), (copy.deepcopy(here).to(device), data.to(device))]
    context = Context(ESTIMATORS["deepfool"], "deepfool", 0, {name: ESTIMATORS[name] for name in ("walk", "fmn")})
    rows: list[dict[str, object]] = []
    for name in asked.probes:
        tables, seconds = [], []
        for network, dataset in subjects:
            begin = time.perf_counter()
            tables.append(PROBES[name](context, MEASURED[name]).measure(network, dataset, Moment(0, 0.0)).tables)
            seconds.append(time.perf_counter() - begin)
        rows += compared(name, *tables)
        print(f"{name}: {seconds[0]:.1f} s on the CPU, {seconds[1]:.1f} s on {asked.device}", flush=True)
    found = pd.DataFrame(rows)
    print(found.to_string(index=False, float_format="{:.4g}".format))
    if asked.to:
        found.to_csv(asked.to, index=False)
    bad = found[found[f"within_{CLOSE[-1]:g}"] < ENOUGH]
    if len(bad):
        raise SystemExit(f"less than {ENOUGH:.0%} of the numbers agree in {', '.join(bad['table'])}")


if __name__ == "__main__":
    main()
