"""Says which numbers of the findings are not in the published tables: python scripts/check_numbers.py.

Findings are docs/findings.md and, of README.md and the papers' pages, the sections called "What was found". There
every number with a decimal point, an exponent or a per cent sign stands in a paragraph, list item or table row that
says which rows of which published table it is from, in a comment that readers do not see:

    The margin falls by 25 % [14, 35]. <!-- from mickisch2020/claims.csv: claim=C1; dataset=mnist -->

It must be one of the numbers in these rows, rounded to the digits shown; per cent are of 1, and a sign is not compared.
Elsewhere in these files a text with such a comment is held to the same, and one without is none of a result.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

PAPERS = ("mickisch2020", "li2018", "karimi2020", "fawzi2017")
PAGES = ("README.md", "docs/findings.md", *(f"docs/{paper}.md" for paper in PAPERS))
WHOLE = "docs/findings.md"
FINDINGS = "what was found"
REFERENCE = re.compile(r"<!-- from (\S+): (.*?) -->", re.S)
# comments, code and where links lead are no sentences; nor are numbers of papers at arXiv
NO_SENTENCE = re.compile(r"<!--.*?-->|`[^`]*`|\]\([^)]*\)|\d{4}\.\d{5}", re.S)
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.(\d+))?(?:e[-+]?\d+)?)(?![\w.]*\d)( ?%)?")


def check(root: Path) -> list[str]:
    """A line for each number, and for each reference, that the published tables do not have."""
    problems = []
    for page in PAGES:
        path = root / page
        if not path.exists():
            continue
        for line, text, is_finding in pieces(path.read_text(encoding="utf-8"), whole=page == WHOLE):
            references = REFERENCE.findall(text)
            if not references and not is_finding:
                continue
            where = f"{page}:{line}"
            values, wrong = published(root / "docs" / "results", references)
            problems += [f"{where}: {reason}" for reason in wrong]
            for number, decimals, percent in NUMBER.findall(NO_SENTENCE.sub("", text)):
                is_result = decimals or "e" in number or percent
                if is_result and not is_among(number, len(decimals), bool(percent), values):
                    reason = "is in none of the rows named" if references else "names no published table"
                    problems.append(f"{where}: {number}{percent} {reason}")
    return problems


def pieces(text: str, *, whole: bool) -> Iterator[tuple[int, str, bool]]:
    """(first line's number, text, whether it is in the findings) of each paragraph, list item and table row."""
    begun, lines, is_finding = 1, [], whole
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if not line.strip() or re.match(r"\s*(?:[-*|#]|\d+\.)\s?", line):
            if lines:
                yield begun, "\n".join(lines), is_finding
            lines = []
        if line.startswith("#"):
            is_finding = whole or FINDINGS in line.lower()
        if line.strip():
            begun = begun if lines else number
            lines.append(line)


def published(results: Path, references: list[tuple[str, str]]) -> tuple[list[float], list[str]]:
    """The numbers in the rows that the references name, and what is wrong with references."""
    values: list[float] = []
    wrong = []
    for table, conditions in references:
        if not (results / table).is_file():
            wrong.append(f"docs/results/{table} is not there")
            continue
        rows = pd.read_csv(results / table)
        for condition in conditions.split(";"):
            column, _, value = (word.strip() for word in condition.partition("="))
            if column not in rows:
                wrong.append(f"docs/results/{table} has no column {column}")
                break
            rows = rows[rows[column].astype(str) == value]
        if rows.empty:
            wrong.append(f"docs/results/{table} has no row with {conditions}")
        values += rows.select_dtypes("number").to_numpy(float).ravel().tolist()
    return values, wrong


def is_among(number: str, decimals: int, percent: bool, values: list[float]) -> bool:
    """Whether one of the values is the number as it is rounded."""
    exponent = int(number.partition("e")[2] or 0)
    shown = abs(float(number))
    half = 0.5 * 10.0 ** (exponent - decimals) * (1 + 1e-9)
    return any(abs(abs(value) * (100 if percent else 1) - shown) <= half for value in values)


if __name__ == "__main__":
    found = check(Path(__file__).resolve().parents[1])
    for line in found:
        print(line)
    sys.exit(1 if found else 0)
