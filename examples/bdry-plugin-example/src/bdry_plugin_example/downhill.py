"""`margin=downhill`: straight along the gradient of the gap, twice as far each time."""

from torch import Tensor

from bdry.core.measuring import Model
from bdry.core.norms import dual_norm, per_sample, steepest
from bdry.margins import ESTIMATORS, MarginResult
from bdry.margins.search import Search


@ESTIMATORS.register("downhill")
def downhill(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 20,
) -> MarginResult:
    """Margins along the steepest descent of the gap at the image, then bisection.

    The first distance is 1 % beyond the boundary of the classifier linearised at the image: exact for two classes and
    an affine classifier. It doubles up to `steps` times. In the box every point is clipped.
    """
    search = Search(model, x, start_class, norm=norm, towards=towards)
    rows = search.open_rows()
    z, logits, _ = search.evaluate(rows, x[rows])
    value = search.loss(rows, logits, "gap")
    gradient, usable = search.gradient(rows, z, value)
    usable &= dual_norm(gradient, norm) > 0
    rows, gradient, value = rows[usable], gradient[usable], value.detach()[usable]
    length = 1.01 * value / dual_norm(gradient, norm)
    for _ in range(steps):
        point = x[rows] - per_sample(length, x) * steepest(gradient, norm)
        _, _, beyond = search.evaluate(rows, point.clamp(0, 1) if clipped else point, graph=False)
        search.iterations[rows] += 1
        rows, gradient, length = rows[~beyond], gradient[~beyond], 2 * length[~beyond]
        if not len(rows):
            break
    return search.result()
