"""The inputs that each output position of a convolution reads."""

from __future__ import annotations

import dataclasses
import math

from ...graph.auto_pad import padding

__all__ = ["Convolution"]


@dataclasses.dataclass(frozen=True)
class Convolution:
    """The attributes that decide which inputs a convolution's output position reads.

    Attributes:
        kernel: Spatial extent of the kernel, one entry a spatial axis.
        strides: Steps between output positions.
        dilations: Steps between kernel elements.
        pads: Zeros before each axis, then zeros after each axis (ONNX order).
        auto_pad: `NOTSET`, `VALID`, `SAME_UPPER` or `SAME_LOWER`.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = "NOTSET"

    @property
    def pointwise(self) -> bool:
        """Tells whether every output position reads exactly the input at its own place."""
        return (
            math.prod(self.kernel) == 1 and set(self.strides) == {1} and not any(self.padding(()))
        )

    def padding(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Zeros before and after each axis for an input of the given spatial shape.

        `spatial` matters only where `auto_pad` asks for an output of ceil(input / stride).
        """
        if self.auto_pad != "NOTSET" and math.prod(self.kernel) == 1:
            return (0,) * (2 * len(self.kernel))
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        before, after = padding(self.auto_pad, self.pads, spatial, spans, self.strides)
        return (*before, *after)

    def output_shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Spatial shape of the output for an input of the given spatial shape."""
        pads = self.padding(spatial)
        rank = len(spatial)
        return tuple(
            (spatial[i] + pads[i] + pads[rank + i] - (self.kernel[i] - 1) * self.dilations[i] - 1)
            // self.strides[i]
            + 1
            for i in range(rank)
        )
