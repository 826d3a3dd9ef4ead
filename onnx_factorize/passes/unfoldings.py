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

from .target import Convolution, Target

__all__ = ["split_attributes", "views_of"]


def views_of(target: Target, taken: Container[str]) -> tuple[Target, ...]:
    """The further views of a convolution in which some rank makes it smaller.

    Args:
        target: The target.
        taken: Names that other operators have.
    """
    geometry = target.convolution
    if geometry is None or math.prod(geometry.kernel) == 1 or target.siblings:
        return ()
    elements, inner = math.prod(geometry.kernel), target.rows // math.prod(geometry.kernel)
    found = [_view(target, "input", inner, target.columns * elements, taken)]
    if len(geometry.kernel) == 2 and min(geometry.kernel) > 1:
        height, width = geometry.kernel
        found.append(_view(target, "spatial", inner * height, target.columns * width, taken))
    return tuple(view for view in found if view.factor_params(1) < view.params)


def _view(target: Target, view: str, rows: int, columns: int, taken: Container[str]) -> Target:
    assert target.convolution is not None
    name = f"{target.name} ({view})"
    while name in taken:
        name += "'"
    strides = target.convolution.strides
    rank = len(strides)
    return dataclasses.replace(
        target,
        name=name,
        rows=rows,
        columns=columns,
        centred=False,
        bias=None,
        convolution=Convolution((1,) * rank, (1,) * rank, (1,) * rank, (0,) * (2 * rank)),
        view=view,
        view_of=target,
        stretch=float(math.prod(strides) if view == "input" else strides[-1]),
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
