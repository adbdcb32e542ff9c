"""`bdry svm`: the last layer of a run's checkpoints against the linear SVMs on its features."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError
from ..lastlayer import TrainingRecipe
from ..runs import TABLES, Measurement, read_table
from ..settings import TrainConfig
from ..studies.lastlayer.settings import SvmConfig
from ..training import OPTIMISERS
from .build import build_plan, options
from .console import show
from .measure import measure_run

KEYS = ["step", "stage", "fresh", "rescaled", "variant"]


def run(config: SvmConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured, and sums it up."""
    folder = measure_run(config, "svm", "svm", "li2018", recipe if config.study == "bias" else no_recipe)
    rows = read_table(folder.table_path("svm_convergence"), TABLES["svm_convergence"])
    last = rows.groupby(KEYS, sort=False).tail(1)
    for (step,), part in last[last["variant"] == "S1"].groupby(["step"]):
        if not part["separable"].all():
            print(f"step {step}: no layer found that separates these features, hence no hard-margin SVM to converge to")
    shown = [
        [
            f"{row.stage}{', fresh' if row.fresh else ''}{', rescaled' if row.rescaled else ''}",
            str(row.step),
            str(row.stage_step),
            str(row.variant),
            f"{row.angle_full_deg:.3g}",
            f"{row.margin_ratio:.4f}",
            f"{row.jaccard_margin:.3f}",
            f"{row.agree_test:.4f}",
            f"{row.n_times_loss:.3g}",
            f"{row.svm_gap:.1e}",
        ]
        for row in last.itertuples()
    ]
    headings = ["stage", "step", "of stage", "SVM", "angle", "margin ratio", "Jaccard", "agree test", "N loss", "gap"]
    show("last layer against SVMs, at the end of each stage; angles in degrees", headings, shown)
    return folder


def no_recipe(config: TrainConfig) -> dict[str, Any]:
    """Nothing of how the run was trained."""
    return {}


def recipe(config: TrainConfig) -> dict[str, Any]:
    """How the run was trained, for its last layer to be trained that way again.

    Raises `ConfigError` where it was not trained at all.
    """
    if config.training.epochs == 0:
        raise ConfigError("study", "bias", "this run has no epochs; there is nothing to compare with")
    plan = build_plan(config)
    optimiser = OPTIMISERS.bound(config.optim.name, options(config.optim))
    return {"recipe": TrainingRecipe(optimiser, plan.learning_rate, plan.epochs, plan.batch_size)}
