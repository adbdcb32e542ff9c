"""The names that settings may have in lists, known without torch; methods register their functions under them.

A plug-in adds names when bdry starts, as in `FAMILIES.declare("mine")`, and registers its functions in any module of
its own. Names of option groups (dataset, arch, margin, ...) are not here: they are the YAML files of conf/<group>.
"""

import re
from typing import Any

from .registry import Registry

NORMS = ("l2", "linf")
SPLITS = ("train", "test")
# how margins are bounded from below, from loose and quick to tight and slow
BOUND_METHODS = ("ibp", "crown_ibp", "crown", "alpha_crown")

# scenario(model, split, num_pairs, *, seed, how, batch_size) -> Pairs; pairs are drawn independently of each other
SCENARIOS: Registry[Any] = Registry("scenario", "natural", "perturbed", "random")
# family(model, x, generator, **settings) -> BoundaryPoints
FAMILIES: Registry[Any] = Registry("family", "nearest_refined", "deepfool_end", "nat_segment", "random_dir")
# method(wanted, model, points, sides by t, find) -> one result for each scale
CURVATURE_METHODS: Registry[Any] = Registry("method", "ad", "geometric", "softplus_swap", "smoothed", "fd")
# what training minimises: loss(logits, labels) -> ()
LOSSES = ("cross_entropy", "hinge", "squared_error")
WEIGHT_LAWS = ("dirichlet", "uniform")

# generator(classifier, images, **settings) -> Borderline
GENERATORS: Registry[Any] = Registry(
    "generator", "deepdig", "real_ae1", "rpbs", "epbs", "epbs_as_coded", "margin_bisect"
)
# the layers for an image shape; ReLU follows every layer but the last, which a sigmoid follows
AUTOENCODERS: Registry[Any] = Registry("autoencoder", "fc", "conv", "bottleneck")

# letters of a label, and of any name that figures and lists show
LONGEST_NAME = 200


def harmless(word: object) -> bool:
    """Whether it is a text that neither a terminal nor a spreadsheet obeys: no control character, no formula."""
    if not isinstance(word, str) or not word.isprintable():
        return False
    # the wide forms of East Asian keyboards too
    return (
        re.match(r"[\s'\"]*[=@+\-\uff1d\uff20\uff0b\uff0d]", word) is None
        or re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word) is not None
    )


def is_text(name: str) -> bool:
    """Whether it is text to its last byte: Python keeps what is none in UTF-8 as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
