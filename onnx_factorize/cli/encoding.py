"""Text for terminals and files of any encoding, from names that may hold anything."""

from __future__ import annotations

import codecs
import contextlib
import sys
import unicodedata

__all__ = ["adapt_streams", "escaped"]

_HANDLER = "onnx_factorize.nearest"

# What this program prints beyond ASCII, where an encoding has none of it.
_NEAREST = {
    "→": "->", "…": "...", "·": "*", "─": "-", "━": "-", "╸": "-", "╺": "-", "⁻": "^-",
    **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)),
}  # fmt: skip

# The dots of a spinner.
_BRAILLE = range(0x2800, 0x2900)

# Control characters, those that turn the direction of text, and halves of pairs.
_UNSEEN = {"Cc", "Cf", "Cs"}


def escaped(text: str) -> str:
    """Text with whatever would steer a terminal, or break the line, shown as an escape."""
    if text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNSEEN else c
        for c in text
    )


def adapt_streams() -> None:
    """Has standard output and error take every character, in whatever encoding they are.

    What an encoding does not have is replaced by what is nearest, or shown as an escape.
    """
    codecs.register_error(_HANDLER, _nearest)
    for stream in (sys.stdout, sys.stderr):
        # Tests and notebooks put other things in their place; without a terminal there is none.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors=_HANDLER)  # type: ignore[union-attr]


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    found = [_ascii(c) for c in error.object[error.start : error.end]]
    return "".join(found), error.end


def _ascii(character: str) -> str:
    if ord(character) in _BRAILLE:
        return "."
    return _NEAREST.get(character) or character.encode("unicode_escape").decode()
