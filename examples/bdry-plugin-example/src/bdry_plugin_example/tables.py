"""The tables that this package's probe fills."""

from bdry.runs import Column, Table, declare

CONFIDENCE = declare(
    Table(
        "confidence",
        "One row per moment and split: how sure the classifier is of its label.",
        (
            Column("step", "int", "optimiser steps done; 0 is initialisation"),
            Column("epoch", "float", "the same in passes over the training split"),
            Column("split", "str", "train or test"),
            Column("num_images", "int", "images measured"),
            Column("mean", "float", "mean of the largest probability"),
            Column("smallest", "float", "smallest of them"),
        ),
    )
)
