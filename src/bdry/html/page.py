"""The page itself: the template filled, with a policy that lets nothing in or out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ..runs import RunRecord
from ..selection.overview import inventory
from ..selection.page import asked, counted, groups, in_words, primaries, shown
from ..selection.page import passed_over as page_lines
from ..selection.verdicts import NOT_RUN
from .effects import effect_lines
from .explorer import Explorer
from .figures import Panel
from .origins import Origin
from .overview import experiments, single_runs

TEMPLATES = Path(__file__).parent / "templates"
UPLOT = Path(__file__).parent / "vendor" / "uplot"


@dataclass(frozen=True)
class Paper:
    """What the runs say of one paper. verdicts: as `claims.judge` gives them."""

    name: str
    verdicts: pd.DataFrame
    panels: list[Panel] = field(default_factory=list)

    @property
    def is_judged(self) -> bool:
        """Whether the runs have the data for at least one of its claims."""
        return bool((self.verdicts["verdict"] != NOT_RUN).any())

    @property
    def passed_over(self) -> list[str]:
        """What the rules could have taken and did not, each with the reason."""
        return page_lines(self.verdicts)

    @property
    def counted(self) -> str:
        """How many claims on a data set came out how."""
        return counted(self.verdicts)

    @property
    def groups(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """The rows by whose claim they are, each with what the page shows of it: effect in words and as a line.

        Claims on a data set that was not run are `not_run` instead.
        """
        was_run = self.verdicts[self.verdicts["verdict"] != NOT_RUN]
        return [
            (
                heading,
                [
                    {**row, "effect": shown(row), "asked": asked(row), "line": line}
                    for row, line in zip(rows.to_dict("records"), effect_lines(rows), strict=True)
                ],
            )
            for heading, rows in groups(was_run)
        ]

    @property
    def not_run(self) -> list[str]:
        """A line for each data set: the claims that it was not run for."""
        rows = self.verdicts[self.verdicts["verdict"] == NOT_RUN].drop_duplicates(["dataset", "claim"])
        return [f"{dataset}: {', '.join(own['claim'])}" for dataset, own in rows.groupby("dataset", sort=False)]

    @property
    def primaries(self) -> list[str]:
        """A line for each data set of the paper's primary claim."""
        return [line.replace("**", "").removeprefix("- ") for line in primaries(self.verdicts) if line]

    @property
    def claims(self) -> list[dict[str, Any]]:
        """A dict a claim: its columns, and `lines`, the verdict on each data set in words."""
        found = self.verdicts.groupby("claim", sort=False)
        return [
            {
                **rows.iloc[0].to_dict(),
                "lines": [
                    line.replace("**", "") for _, own in rows.groupby("dataset", sort=False) for line in in_words(own)
                ],
            }
            for _, rows in found
        ]


def page(
    records: Sequence[RunRecord],
    skipped: Sequence[str],
    papers: Sequence[Paper],
    explorer: Explorer,
    origins: Sequence[Origin],
    *,
    num_drawn: int,
) -> str:
    """The whole page: no file beside it, no request to anywhere; the same inputs give the same bytes.

    records: all runs; skipped: why others cannot be read. num_drawn: how many of the runs figures and claims are of.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = inventory(records)
    style = _asset(UPLOT / "uPlot.min.css") + _asset(TEMPLATES / "report.css")
    library, *own = map(_asset, (UPLOT / "uPlot.iife.min.js", TEMPLATES / "charts.js", TEMPLATES / "report.js"))
    scripts = [library, Markup("").join(own)]
    allowed = " ".join(map(_digest, scripts))
    return environment.get_template("report.html").render(
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {allowed}",
        style=style,
        scripts=scripts,
        licence=_asset(UPLOT / "LICENSE"),
        experiments=experiments(rows),
        runs=single_runs(rows),
        num_runs=len(records),
        num_drawn=num_drawn,
        skipped=skipped,
        papers=papers,
        explorer=explorer,
        origins=origins,
    )


def _asset(path: Path) -> Markup:
    return Markup(path.read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    """What a content security policy calls an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
