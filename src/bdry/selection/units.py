"""What each study measures: which columns of its tables name a unit, and which settings say only what is measured.

A unit is what a measurement was asked for, such as a pair of classes and a method, or a scenario at a moment. All rows
of a unit come from one measurement, hence from one sample of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOMENT = ("step",)
# of every measurement's config: where it was computed and kept, and how fast; none of it changes a result
NO_SETTINGS = frozenset(
    [
        "arch",
        "batch_size",
        "checkpoint",
        "checkpoint_steps",
        "classifier",
        "command",
        "compile",
        "dataset",
        "device",
        "moments",
        "name",
        "optim",
        "outputs",
        "run",
        "schema",
        "threads",
        "weights",
    ]
)


@dataclass(frozen=True)
class Study:
    """How the measurements of one study are told apart.

    Args:
        tables: the columns that name a unit, by table.
        which: settings that only list what is measured, so that two measurements may differ in them.
        apart: settings by which one command's measurements are about different things: the stage of `bdry svm`.
        other: settings that, where they are set, make another quantity of the table; such rows never count.
        main: column -> setting: the rows of the setting's value are the main ones, the others are a sweep beside them.
        probe: the name of the probe whose config has the same settings; "" where there is none.
        by_probe: the study is what the probe saw over training, with the same images at every moment. A command adds
            what the probe left out, and replaces nothing.
        by_command: commands measure it, beside the probe. False: probes alone write these tables.
    """

    tables: Mapping[str, tuple[str, ...]]
    which: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    main: Mapping[str, str] = field(default_factory=dict)
    probe: str = ""
    by_probe: bool = False
    by_command: bool = True


PAIR = (*MOMENT, "source", "target")
STAGE = (*MOMENT, "stage", "fresh", "rescaled")
AT = (*MOMENT, "split")
MARGIN_LISTS = ("splits", "norms", "clipped", "check", "check_settings", "keep_points", "steps", "beside")

STUDIES = (
    Study({name: MOMENT for name in ("history", "timings", "batches", "directions", "noise")}, by_command=False),
    Study(
        {
            "margins": (*AT, "norm", "clipped", "estimator"),
            "margin_summary": (*AT, "norm", "clipped", "estimator"),
            "first_order": (*AT, "norm"),
        },
        which=MARGIN_LISTS,
        other=("towards",),
        probe="margin",
        by_probe=True,
    ),
    Study({"estimator_check": (*AT, "norm", "clipped", "estimator")}, which=MARGIN_LISTS, other=("towards",)),
    Study(
        {"paths": (*AT, "scenario"), "convexity": (*AT, "k", "weight_law")},
        which=("scenarios", "ks", "weight_laws", "num_films", "num_film_images"),
    ),
    Study(
        {
            "boundary": (*AT, "family"),
            "curvature_summary": (*AT, "family", "method", "scale"),
            "curvature_profile": (*AT, "family", "method", "scale"),
            "tangent_sides": (*AT, "family", "t"),
        },
        which=("families", "methods", "betas", "sigmas", "fd_steps", "num_sections", "extent", "resolution"),
    ),
    Study({name: MOMENT for name in ("shared_summary", "shared_rho", "shared_energy", "shared_noise")}),
    Study(
        {name: (*MOMENT, "statistic", "family", "num_directions") for name in ("detect_scores", "detect_summary")},
        which=("statistics", "families", "num_directions"),
    ),
    Study(
        {
            "generation": (*PAIR, "method", "alpha"),
            "idc": (*PAIR, "method", "alpha", "grid"),
            "bisection": (*PAIR, "method"),
            "edc": PAIR,
            "ae": (*PAIR, "alpha", "stage"),
            "ae_training": (*PAIR, "alpha", "stage"),
            "runtime": MOMENT,
            "generation_test": (*PAIR, "method", "alpha"),
            "idc_test": (*PAIR, "method", "alpha", "grid"),
            "idc_pairs": (*PAIR, "instances", "method", "alpha", "grid"),
            "scores": MOMENT,
            "confusion": MOMENT,
        },
        which=(
            "pairs",
            "methods",
            "further_alphas",
            "further_grids",
            "num_detailed",
            "num_saved",
            "stack",
            "instances",
        ),
        main={"alpha": "alphas", "grid": "grid"},
        probe="deepdig",
    ),
    Study(
        {
            "svm_convergence": (*STAGE, "variant"),
            "svm_bias": STAGE,
            "svm_rate_fit": (*STAGE, "variant"),
            "svm_timings": (*MOMENT, "rescaled", "variant"),
        },
        which=("variants", "map_resolution"),
        apart=("stage", "fresh", "study"),
    ),
)
_BY_TABLE = {name: study for study in STUDIES for name in study.tables}


def study_of(table: str) -> Study:
    """The study that a table belongs to; of a plug-in's table each moment is a unit."""
    return _BY_TABLE.get(table) or Study({table: MOMENT})
