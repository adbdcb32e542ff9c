"""The verdicts as files: claims.csv, and claims.md to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..runs.files import write_text
from .claim import WHOSE
from .verdicts import CONTRADICTED, NOT_RUN, SEPARATOR, SUPPORTED, UNDECIDED

CHECKS = "Checks of the implementation"
PICTURE = "claims-forest.png"


def write(verdicts: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Writes what `judge` gave into `folder`; the files written."""
    table, page = folder / "claims.csv", folder / "claims.md"
    write_text(table, verdicts.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    write_text(page, as_markdown(verdicts, title))
    return [table, page]


def shown(row: Mapping[str, Any]) -> str:
    """The effect of a part with its interval; empty where there is no value."""
    if math.isnan(row["value"]):
        return ""
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['value']:.3g}{interval}"


def asked(row: Mapping[str, Any]) -> str:
    """What a part is claimed to be, such as `below 0`."""
    return f"{row['side']} {row['bound']:g}" if row["side"] else ""


def groups(verdicts: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows by whose claim they are, in the order of `WHOSE`, checks of the implementation last; with a heading."""
    checks = verdicts["checks"].astype(bool)
    found = [(f"Claims: {words}", verdicts[(verdicts["whose"] == whose) & ~checks]) for whose, words in WHOSE.items()]
    return [(heading, rows) for heading, rows in [*found, (CHECKS, verdicts[checks])] if len(rows)]


def counted(verdicts: pd.DataFrame) -> str:
    """How many claims on a data set came out how, checks of the implementation left out, and networks not run."""
    judged = verdicts[~verdicts["checks"].astype(bool)].drop_duplicates(["claim", "dataset"])
    numbers = judged["verdict"].value_counts()
    words = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN)
    return ", ".join(f"{numbers.get(word, 0)} {word}" for word in words)


def deciding(verdicts: pd.DataFrame) -> pd.Series:
    """Which rows have a value and a part in their verdict: those of the picture; a bool for each row."""
    return verdicts["value"].notna() & ~verdicts["secondary"].astype(bool)


def as_markdown(verdicts: pd.DataFrame, title: str) -> str:
    """The effects by whose claim they are, with the picture of them, then the rules and reasons."""
    lines = [f"# {title}", "", f"{counted(verdicts)} (claims on a data set). docs/verdicts.md says how."]
    lines += primaries(verdicts)
    if deciding(verdicts).any():
        lines += ["", f"![effects with their intervals]({PICTURE})"]
    for heading, rows in groups(verdicts):
        lines += ["", f"## {heading}", ""]
        lines += ["| claim | data set | part | effect [95 % interval] | claimed | over | part | verdict |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in rows.to_dict("records"):
            name = f"{row['claim']} (primary)" if row["primary"] else row["claim"]
            label = f"{row['part']} (beside)" if row["secondary"] else row["part"]
            cells = [name, row["dataset"], label, shown(row), asked(row), row["over"], row["part_verdict"]]
            lines.append("| " + " | ".join([*map(_cell, cells), f"**{row['verdict']}**"]) + " |")
    lines += ["", "## Rules and reasons"]
    for name, rows in verdicts.groupby("claim", sort=False):
        first = rows.iloc[0]
        lines += ["", f"### {name}: {first['statement']}", "", f"The paper: {first['paper_says']}.", ""]
        lines += [f"Our rule: {first['rule']}", ""]
        for _, own in rows.groupby("dataset", sort=False):
            lines += [f"- {line}" for line in in_words(own)]
    passed = passed_over(verdicts)
    if passed:
        lines += ["", "## Passed over", "", "Measured, but not among the rows that the verdicts are on:", ""]
        lines += [f"- {line}" for line in passed]
    lines += ["", "## Configurations", ""]
    configurations = verdicts.loc[verdicts["configuration"] != "", ["dataset", "configuration"]].drop_duplicates()
    lines += [f"- {row.dataset}: {row.configuration}" for row in configurations.itertuples()]
    return "\n".join(lines) + "\n"


def primaries(verdicts: pd.DataFrame) -> list[str]:
    """A line for each data set of the paper's primary claim; the others are exploratory."""
    rows = verdicts[verdicts["primary"].astype(bool)].drop_duplicates("dataset")
    lines = (
        ["", f"The paper's primary claim is {rows['claim'].iloc[0]}; all others are exploratory.", ""]
        if len(rows)
        else []
    )
    for row in rows.to_dict("records"):
        p = "" if math.isnan(row["p_holm"]) else f" (p = {row['p_holm']:.2g} after Holm)"
        lines.append(f"- {row['dataset']}: **{row['verdict']}**{p}")
    return lines


def in_words(rows: pd.DataFrame) -> list[str]:
    """What is to be said of one claim on one data set: the verdict with its reason, and what was left out of each
    part."""
    first = rows.iloc[0]
    found = [f"{first['dataset']}: **{first['verdict']}**" + (f": {first['reason']}." if first["reason"] else ".")]
    left = rows[rows["left_out"] != ""].groupby("left_out", sort=False)["part"]
    found += [
        f"{first['dataset']}, left out: {words} ({', '.join(filter(None, parts)) or 'all'})" for words, parts in left
    ]
    missing = rows[(rows["part_verdict"] == NOT_RUN) & (rows["part"] != "")]["part"]
    return [*found, *(f"{first['dataset']}, {network}: **{NOT_RUN}**." for network in missing)]


def passed_over(verdicts: pd.DataFrame) -> list[str]:
    """Each line of the column `passed_over` once."""
    return list(dict.fromkeys(line for cell in verdicts["passed_over"] for line in cell.split(SEPARATOR) if line))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
