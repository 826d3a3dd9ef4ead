"""The attribute `auto_pad` of convolutions and pools, in numbers."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["AUTO_PADS", "halves", "padding", "same_total"]

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def padding(
    auto_pad: str,
    pads: Sequence[int],
    sizes: Sequence[int],
    spans: Sequence[int],
    strides: Sequence[int],
) -> tuple[list[int], list[int]]:
    """The padding before and after each spatial axis of a window operator.

    Args:
        auto_pad: One of `AUTO_PADS`.
        pads: ONNX's attribute: all that is before, then all that is after.
        sizes: The input's spatial shape; it matters to `SAME_UPPER` and `SAME_LOWER` only.
        spans: Elements from a window's first to its last along each axis, both counted.
        strides: Steps between windows.

    Example:
        >>> padding("SAME_UPPER", (), [5], [4], [2])
        ([1], [2])
    """
    rank = len(spans)
    if auto_pad == "NOTSET":
        return list(pads[:rank]), list(pads[rank:])
    if auto_pad == "VALID":
        return [0] * rank, [0] * rank
    pairs = [
        halves(same_total(size, span, stride), auto_pad)
        for size, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    return [before for before, _ in pairs], [after for _, after in pairs]


def same_total(size: int, span: int, stride: int) -> int:
    """The padding of an axis in all, to have ceil(size / stride) windows."""
    return max(0, (-(-size // stride) - 1) * stride + span - size)


def halves(total: int, auto_pad: str) -> tuple[int, int]:
    """The padding before an axis and behind it: the larger half lower or upper."""
    small, large = total // 2, total - total // 2
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)
