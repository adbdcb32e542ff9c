"""How figures are drawn: style, panels of curves, captions, and the forms in which they are declared. No torch here.

```python
from bdry.figures import Style, save, styled
with styled(Style(width=3.25, font="serif")):
    save(figure, points, Path("margins"))
```
"""

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .pictures import show_image
    from .style import COLOURS, RC, Style, save, styled, write_table

__all__ = ["COLOURS", "RC", "Style", "save", "show_image", "styled", "write_table"]

# imported on demand: the command line's help reads the titles of figures and needs no matplotlib
__getattr__ = on_demand(__name__, dict.fromkeys(__all__, "style") | {"show_image": "pictures"})
