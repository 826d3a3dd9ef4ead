"""Ways to see a weight as a matrix: each further one of a convolution's gives another form.

The channel form cuts `im2col(x) @ W`, which is what the operator itself multiplies by. The others
multiply earlier:

- *input channel*: every pixel gives `x @ W'`, C_in channels to C_out k values, which are summed
  where they fall; cut, it is a 1 x 1 Conv to few channels and the k x k Conv from those.
- *spatial*: every column of kernel height gives `im2col₁(x) @ W''`, C_in k_h values to C_out k_w,
  summed along rows; cut, it is a k_h x 1 Conv to few channels and a 1 x k_w Conv from those.

In both the rows of x are plain values, so that a cut changes the loss by their products with the
gradient there *through this convolution alone*. `SeparateUnfoldings` makes that gradient one of the
graph.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .convolution import Convolution

__all__ = ["OWN", "UNFOLDINGS", "KernelAxes", "Unfolding", "split_attributes"]

# The name of an operator's own unfolding.
OWN = ""


@dataclasses.dataclass(frozen=True)
class Unfolding:
    """The weight of one operator as a matrix, group by group.

    Attributes:
        rows: K, the length of a row of `x` in one group (of an im2col row for a convolution).
        columns: N, the number of outputs of one group.
        convolution: How rows are made of a convolution's input; None for a matrix product.
        name: That of its kind; empty for the operator's own.
        leading: Axes of the kernel in the rows; the others are in the columns.
        stretch: Places of the factor down for each place of the factor up.
    """

    rows: int
    columns: int
    convolution: Convolution | None = None
    name: str = OWN
    leading: int = 0
    stretch: float = 1.0

    @classmethod
    def of_convolution(cls, geometry: Convolution, inner: int, outer: int) -> Unfolding:
        """A convolution's own: all axes of the kernel are in the rows.

        Args:
            geometry: Its attributes.
            inner: Input channels of one group.
            outer: Output channels of one group.
        """
        rows = inner * math.prod(geometry.kernel)
        return cls(rows, outer, geometry, leading=len(geometry.kernel))

    @property
    def is_own(self) -> bool:
        """Tells whether it is what the operator itself multiplies by."""
        return self.name == OWN

    def of_kernel(self, weight: npt.NDArray[np.float64], groups: int) -> npt.NDArray[np.float64]:
        """A kernel as matrices, shape (groups, K, N)."""
        outer, inner, *kernel = weight.shape
        leading = math.prod(kernel[: self.leading])
        split = weight.reshape(groups, outer // groups, inner, leading, -1)
        moved = split.transpose(0, 2, 3, 1, 4)
        return np.ascontiguousarray(moved.reshape(groups, self.rows, self.columns))

    def to_kernel(self, matrices: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
        """Matrices as a kernel of a shape: the inverse of `of_kernel`."""
        (outer, inner, *kernel), groups = shape, len(matrices)
        leading = math.prod(kernel[: self.leading])
        split = matrices.reshape(groups, inner, leading, outer // groups, -1)
        return np.ascontiguousarray(split.transpose(0, 3, 1, 2, 4)).reshape(shape)


@dataclasses.dataclass(frozen=True)
class KernelAxes:
    """A kind of unfolding: the first axes of a kernel in the rows, the others in the columns.

    Attributes:
        name: What unfoldings of this kind are called.
        title: The name of two factors of it in reports.
        leading: Axes of the kernel that are in the rows.
        axes: Axes that the kernel must have, each longer than one element; None for any.
    """

    name: str
    title: str
    leading: int
    axes: int | None = None

    def fits(self, kernel: tuple[int, ...]) -> bool:
        """Tells whether a kernel of several elements may be seen this way."""
        return self.axes is None or (len(kernel) == self.axes and min(kernel) > 1)

    def of(self, own: Unfolding) -> Unfolding | None:
        """A convolution in this unfolding, given its own; None where it has none of this kind."""
        geometry = own.convolution
        if geometry is None or math.prod(geometry.kernel) == 1 or not self.fits(geometry.kernel):
            return None
        kernel, rank, leading = geometry.kernel, len(geometry.kernel), self.leading
        return Unfolding(
            own.rows // math.prod(kernel) * math.prod(kernel[:leading]),
            own.columns * math.prod(kernel[leading:]),
            Convolution((1,) * rank, (1,) * rank, (1,) * rank, (0,) * (2 * rank)),
            self.name,
            leading,
            float(math.prod(geometry.strides[leading:])),
        )


UNFOLDINGS = {
    each.name: each
    for each in (
        KernelAxes("input", "input channel", 0),
        KernelAxes("spatial", "spatial", 1, axes=2),
    )
}


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
