"""`bdry regions`: paths inside the classification regions of a run's classifier."""

from __future__ import annotations

import pandas as pd

from ..runs import TABLES, Measurement, read_table
from ..studies.regions.settings import RegionsConfig
from .console import show
from .measure import measure_run


def run(config: RegionsConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured, and sums it up."""
    folder = measure_run(config, "regions", "regions", "fawzi2017")
    path = folder.table_path("paths")
    rows = read_table(path, TABLES["paths"]) if path.exists() else pd.DataFrame(columns=["step", "scenario"])
    missing = [name for name in config.scenarios if name not in set(rows["scenario"])]
    if missing:
        print(
            f"no pairs of the scenarios {', '.join(missing)}: the classifier's labels of these images do not allow it"
        )
    shown = []
    for (step, scenario), part in rows.groupby(["step", "scenario"], sort=False):
        found = part[part["found"]]
        lengths = found["relative_length"]
        numbers = [str(len(part)), str(part["in_region"].sum()), str(len(found)), str(part["straight"].sum())]
        lengths_shown = [f"{lengths.median():.5g}", f"{lengths.max():.5g}"] if len(found) else ["nan", "nan"]
        shown.append([str(scenario), str(step), *numbers, *lengths_shown])
    headings = ["scenario", "step", "pairs", "in the region", "found", "straight", "median D", "largest D"]
    show("paths inside a region; one that was not found within the budget may exist", headings, shown)
    return folder
