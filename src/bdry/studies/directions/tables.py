"""The table of distances along random directions."""

from ...runs.table import PIXELS, Column, moment_table

DIRECTIONS = moment_table(
    "directions",
    "`probe=[directions]`: one row an image and random direction: how far the boundary is along that ray.",
    Column("split", "str", "train or test"),
    Column("index", "int", "the image's position in the official split"),
    Column("correct", "bool", "whether the image is classified correctly"),
    Column("direction", "int", "number of the unit direction (l2), the same at every moment and for every image"),
    Column("distance", "float", "l2 distance to the first crossing met; nan where none was met", PIXELS),
    Column("success", "bool", "whether the label changes within the distance searched"),
    Column("boundary_class", "int", "the class beyond; -1 where none was met"),
)
