"""The tables that this package's probe fills."""

from bdry.runs import Column, moment_table

CONFIDENCE = moment_table(
    "confidence",
    "One row per moment and split: how sure the classifier is of its label.",
    Column("split", "str", "train or test"),
    Column("num_images", "int", "images measured"),
    Column("mean", "float", "mean of the largest probability"),
    Column("smallest", "float", "smallest of them"),
)
