"""bdry: where is the decision boundary of a deep network, how far from the data, and how does it move?

```python
import bdry
result = bdry.margins.walk(net, images, norm="linf", clipped=True)
runs = bdry.load_runs("outputs")
```
"""

from typing import TYPE_CHECKING

from .lazy import on_demand

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import attacks, data, deepdig, figures, geometry, lastlayer, margins, models
    from .core.measuring import measuring
    from .selection.overview import load_runs
    from .session.open_run import load_network
    from .studies.figures import draw_figures

__all__ = [
    "attacks",
    "data",
    "deepdig",
    "draw_figures",
    "figures",
    "geometry",
    "lastlayer",
    "load_network",
    "load_runs",
    "margins",
    "measuring",
    "models",
]

# a function's module; the others are packages
_FUNCTIONS = {
    "draw_figures": "studies.figures",
    "load_network": "session.open_run",
    "load_runs": "selection.overview",
    "measuring": "core.measuring",
}
__getattr__ = on_demand(__name__, {name: _FUNCTIONS.get(name, "") for name in __all__})


def __dir__() -> list[str]:
    return [*globals(), *__all__]
