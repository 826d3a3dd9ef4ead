"""Further ways to see a convolution's weight as a matrix: each gives another form.

The channel form cuts `im2col(x) @ W`, which is the target itself. The others multiply earlier:

- *input channel*: every pixel gives `x @ W'`, C_in channels to C_out k values, which are summed
  where they fall; cut, it is a 1 x 1 Conv to few channels and the k x k Conv from those.
- *spatial*: every column of kernel height gives `im2col₁(x) @ W''`, C_in k_h values to C_out k_w,
  summed along rows; cut, it is a k_h x 1 Conv to few channels and a 1 x k_w Conv from those.

In both the rows of x are plain values, so that a cut changes the loss by their products with the
gradient there *through this convolution alone*. `SeparateViews` makes that gradient one of the
graph.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container

import onnx_ir as ir

from ._operators import TITLES
from .convolution import Convolution
from .target import Target

__all__ = ["OWN", "UNFOLDINGS", "Unfolding", "split_attributes", "title_of", "views_of"]

# The name of an operator's own view.
OWN = ""


@dataclasses.dataclass(frozen=True)
class Unfolding:
    """A way to see a kernel as a matrix: its first axes in the rows, the others in the columns.

    Attributes:
        name: What targets have in `view`.
        title: The name of two factors of it in reports.
        leading: Axes of the kernel that are in the rows.
        axes: Axes that the kernel must have, each longer than one element; None for any.
    """

    name: str
    title: str
    leading: int
    axes: int | None = None

    def fits(self, kernel: tuple[int, ...]) -> bool:
        """Whether a kernel may be seen this way."""
        return self.axes is None or (len(kernel) == self.axes and min(kernel) > 1)


UNFOLDINGS = {
    each.name: each
    for each in (
        Unfolding("input", "input channel", 0),
        Unfolding("spatial", "spatial", 1, axes=2),
    )
}


def title_of(target: Target) -> str:
    """The name in reports of two factors of a target."""
    return UNFOLDINGS[target.view].title if target.view else TITLES[target.op_type]


def views_of(target: Target, taken: Container[str]) -> tuple[Target, ...]:
    """The further views of a convolution in which some rank makes it smaller.

    Args:
        target: The target.
        taken: Names that other operators have.
    """
    geometry = target.convolution
    if geometry is None or math.prod(geometry.kernel) == 1 or target.siblings:
        return ()
    fitting = [each for each in UNFOLDINGS.values() if each.fits(geometry.kernel)]
    found = [_view(target, geometry, unfolding, taken) for unfolding in fitting]
    return tuple(view for view in found if view.factor_params(1) < view.params)


def _view(
    target: Target, geometry: Convolution, unfolding: Unfolding, taken: Container[str]
) -> Target:
    name = f"{target.name} ({unfolding.name})"
    while name in taken:
        name += "'"
    kernel, rank = geometry.kernel, len(geometry.kernel)
    leading = unfolding.leading
    return dataclasses.replace(
        target,
        name=name,
        rows=target.rows // math.prod(kernel) * math.prod(kernel[:leading]),
        columns=target.columns * math.prod(kernel[leading:]),
        centred=False,
        bias=None,
        convolution=Convolution((1,) * rank, (1,) * rank, (1,) * rank, (0,) * (2 * rank)),
        view=unfolding.name,
        view_of=target,
        leading=leading,
        stretch=float(math.prod(geometry.strides[leading:])),
    )


def split_attributes(geometry: Convolution) -> tuple[list[ir.Attr], list[ir.Attr]]:
    """The attributes of the two convolutions that a 2-D one is split into, rows after columns."""
    halves = []
    for axis in range(2):
        own: dict[str, str | tuple[int, ...]] = {}
        for key, values, rest in (
            ("kernel_shape", geometry.kernel, 1),
            ("strides", geometry.strides, 1),
            ("dilations", geometry.dilations, 1),
        ):
            own[key] = tuple(values[i] if i == axis else rest for i in range(2))
        if geometry.auto_pad == "NOTSET":
            own["pads"] = tuple(p if i % 2 == axis else 0 for i, p in enumerate(geometry.pads))
        else:
            own["auto_pad"] = geometry.auto_pad
        halves.append(ir.convenience.convert_attributes(own))
    return halves[0], halves[1]
