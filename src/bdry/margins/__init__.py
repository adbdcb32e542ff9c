"""The margin: the distance from an image to the decision boundary. One estimator a file, one contract for all.

```python
from bdry.margins import walk
result = walk(model, x, norm="linf", clipped=True)
```
"""

from ..registry import import_siblings
from .result import ESTIMATORS, Abilities, Estimator, MarginResult, unguarded

# plug-ins aside, every file registers what it offers; the names below are functions, whatever files are called
import_siblings(__name__, __path__)

# ruff: noqa: E402
from .apgd import apgd
from .bracket import bracket
from .certified import certified
from .ddn import ddn
from .deepfool import deepfool
from .exact import exact
from .fab import fab
from .fmn import fmn
from .lattice import lattice
from .milp import milp
from .rays import RayResult, distances_along_rays
from .search import Search
from .walk import walk

__all__ = [
    "ESTIMATORS",
    "Abilities",
    "Estimator",
    "MarginResult",
    "RayResult",
    "Search",
    "apgd",
    "bracket",
    "certified",
    "ddn",
    "deepfool",
    "distances_along_rays",
    "exact",
    "fab",
    "fmn",
    "lattice",
    "milp",
    "unguarded",
    "walk",
]
