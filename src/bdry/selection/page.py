"""The verdicts as files: claims.csv, and claims.md to read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..runs.files import write_text
from .verdicts import SEPARATOR


def write(verdicts: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Writes what `judge` gave into `folder`; the files written."""
    table, page = folder / "claims.csv", folder / "claims.md"
    write_text(table, verdicts.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    write_text(page, as_markdown(verdicts, title))
    return [table, page]


def as_markdown(verdicts: pd.DataFrame, title: str) -> str:
    """A table of all verdicts, then each claim with its rule, its reasons and the configuration behind them."""
    lines = [
        f"# {title}",
        "",
        "| claim | data set | statement | value [95 % interval] | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in verdicts.to_dict("records"):
        shown = f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]" if row["statistic"] else ""
        lines.append(f"| {row['claim']} | {row['dataset']} | {row['statement']} | {shown} | **{row['verdict']}** |")
    for name, rows in verdicts.groupby("claim", sort=False):
        first = rows.iloc[0]
        lines += ["", f"## {name}: {first['statement']}", "", f"The paper: {first['paper_says']}.", ""]
        lines += [f"Our rule: {first['rule']}", ""]
        for row in rows.to_dict("records"):
            over = f" Over {row['over']}." if row["over"] else ""
            statistic = f" Statistic: {row['statistic']}." if row["statistic"] else ""
            lines.append(f"- {row['dataset']}: **{row['verdict']}**: {row['reason']}.{statistic}{over}")
    passed = passed_over(verdicts)
    if passed:
        lines += ["", "## Passed over", "", "Measured, but not among the rows that the verdicts are on:", ""]
        lines += [f"- {line}" for line in passed]
    lines += ["", "## Configurations", ""]
    configurations = verdicts[["dataset", "configuration"]].drop_duplicates()
    lines += [f"- {row.dataset}: {row.configuration}" for row in configurations.itertuples()]
    return "\n".join(lines) + "\n"


def passed_over(verdicts: pd.DataFrame) -> list[str]:
    """Each line of the column `passed_over` once."""
    return list(dict.fromkeys(line for cell in verdicts["passed_over"] for line in cell.split(SEPARATOR) if line))
