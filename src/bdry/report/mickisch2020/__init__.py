"""The figures and tables of mickisch2020 (docs/papers/mickisch2020.md), by stable names."""

from .. import margin_evolution
from ..drawing import Drawing
from . import calibration, controls, estimators, noise, r1, r2, r3, r4, r5, tables, transfer

MARGINS = "runs with probe=[margin]"

FIGURES = {
    "margin_evolution": Drawing(margin_evolution.draw, "finished runs"),
    "R1": Drawing(r1.draw, f"main {MARGINS} and adv=none"),
    "R2": Drawing(r2.draw, f"main {MARGINS}"),
    "R3": Drawing(r3.draw, f"main {MARGINS}, at least one adv=pgd"),
    "R4": Drawing(r4.draw, f"main {MARGINS}"),
    "R5": Drawing(r5.draw, "main runs with probe=[margin,directions], margins in l2 outside the box"),
    "T1": Drawing(tables.draw_t1, f"main {MARGINS}"),
    "T2": Drawing(tables.draw_t2, f"main {MARGINS}"),
    "trend": Drawing(tables.draw_trend, MARGINS),
    "transfer": Drawing(transfer.draw, f"main or transfer {MARGINS}, at least one adv=pgd"),
    "calibration": Drawing(calibration.draw, f"main {MARGINS}"),
    "noise": Drawing(noise.draw, "main runs with probe=[margin,noise]"),
    "controls": Drawing(controls.draw, f"{MARGINS} and study='control: <what>'"),
    "estimators": Drawing(
        estimators.draw, "main runs with margins checked: bdry margin run=<run> check=[<estimators>]"
    ),
}
