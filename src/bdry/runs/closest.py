"""Several measurements of one run that overlap: which of their rows to take."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

RUN = ["run", "seed", "measurement"]


def closest(rows: pd.DataFrame, unit: Sequence[str], units: Sequence[str]) -> pd.DataFrame:
    """Each unit of a run once: from the measurement with the fewest different `units`, of equals the first by name.

    Args:
        rows: with the columns run, seed and measurement. unit: the columns that make a row the same measured again.
        units: of these, the columns whose combinations are counted, such as the pairs of classes.
    """
    if rows.empty:
        return rows
    counted = rows[[*RUN, *units]].drop_duplicates().groupby(RUN).size().rename("num_units").reset_index()
    ordered = rows.merge(counted, on=RUN).sort_values(["num_units", "measurement"], kind="stable")
    kept = ordered.drop_duplicates(["run", "seed", *unit])
    return kept.drop(columns="num_units").sort_values(["run", "seed", *unit], kind="stable").reset_index(drop=True)
