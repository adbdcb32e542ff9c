"""The table of accuracy under noise."""

from ...runs.table import PIXELS, Column, moment_table

NOISE = moment_table(
    "noise",
    "`probe=[noise]`: one row a kind and size of noise: how often the label is still right.",
    Column("split", "str", "train or test"),
    Column("noise", "str", "gaussian or uniform, independent for each pixel, clipped to the [0, 1] box"),
    Column("size", "float", "standard deviation of a pixel's noise before clipping, of both kinds", PIXELS),
    Column("num_images", "int", "images, each with its own noise"),
    Column("num_draws", "int", "noises drawn an image"),
    Column("accuracy", "float", "share of right labels over images and draws"),
)
