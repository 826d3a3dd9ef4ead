"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence

# In the order of the ASCII characters.
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

__all__ = ["count", "listed", "nats", "size"]

# So many names are said one by one.
_NAMED = 3


def count(number: float) -> str:
    """Such as 12.3M."""
    for unit, step in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= step:
            return f"{number / step:.3g}{unit}"
    return f"{number:.0f}"


def size(number: float) -> str:
    """Such as 12.30 MB."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= step:
            return f"{number / step:.2f} {unit}"
    return f"{number:.0f} B"


def nats(value: float | None) -> str:
    """Two significant digits, such as 0.012 or 3.4·10⁻⁷; what is not finite is said in words."""
    if value is None:
        return "not finite"
    if value == 0 or 1e-4 <= abs(value) < 1e3:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}·10{str(int(exponent)).translate(_RAISED)}"


def listed(names: Sequence[str]) -> str:
    """All names, or the first and the last of many: `'k0' to 'v9' (20)`."""
    quoted = [f"'{name}'" for name in names]
    if len(names) <= _NAMED:
        return ", ".join(quoted)
    return f"{quoted[0]} to {quoted[-1]} ({len(names)})"
