"""Tables that every training leaves."""

from .table import EPOCH, PIXELS, STEP, Column, Table

HISTORY = Table(
    "history",
    "One row a measured moment: how well the classifier does.",
    (
        STEP,
        EPOCH,
        Column("lr", "float", "learning rate of the next step"),
        Column("objective", "float", "mean of the minimised batch losses since the row before; nan at step 0"),
        Column("train_loss", "float", "cross-entropy on the training split (evaluation.max_images of it)"),
        Column("train_accuracy", "float", "share of right labels there"),
        Column("test_loss", "float", "cross-entropy on the test split (evaluation.max_images of it)"),
        Column("test_accuracy", "float", "share of right labels there"),
        Column("robust_accuracy", "float", "share of test images still right under PGD; nan where not measured"),
        Column("robust_norm", "str", "norm of that PGD"),
        Column("robust_eps", "float", "radius of that PGD", PIXELS),
    ),
)

TIMINGS = Table(
    "timings",
    "Seconds spent: with svm_timings a run's only table that differs from one run of the same command to the next.",
    (
        STEP,
        EPOCH,
        Column("training_seconds", "float", "training since the row before", "s"),
        Column("measuring_seconds", "float", "evaluation and probes at this moment", "s"),
    ),
)
