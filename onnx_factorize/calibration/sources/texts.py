"""Text files as calibration data."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...arrays import Arrays
from ...errors import InputError
from ...foreign import reading
from ...options import TextOptions
from ..inputs import Signature
from ..inputs.fills import ids_of
from .source import Source

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TextSource", "TokenizedTexts"]

# Characters that are tokenized at once: the library keeps far more of a token than its number.
_AT_ONCE = 1 << 16

_LENGTH = 128

Ids = npt.NDArray[np.int32]


class TokenizedTexts:
    """The token ids of some files.

    Attributes:
        files: The files.
        ids: The ids of all of them, one after another, shape (tokens,).
        around: Special tokens before and behind each text.
    """

    def __init__(self, files: Sequence[pathlib.Path], options: TextOptions) -> None:
        """Reads and tokenizes the files.

        Raises:
            InputError: The tokenizer or a file cannot be read, or there is no text.
        """
        self.files = files
        self._length = options.length
        tokenizer = _tokenizer(files[0], options.tokenizer)
        self.around = _special_tokens(tokenizer)
        parts = [
            np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
            for text in _pieces(files)
        ]
        self.ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        if not len(self.ids):
            raise InputError(f"{files[0]} holds no text.")

    def windows(self, fixed: int | None) -> Ids:
        """Windows of one length, shape (windows, length).

        The last one, which is shorter, is left out, unless there is no other.

        Args:
            fixed: The length that the model fixes, if it does.

        Raises:
            InputError: The windows are too short for any text.
        """
        before, behind = self.around
        length = self._length or fixed or _LENGTH
        room = length - len(before) - len(behind)
        if room < 1:
            raise InputError(
                f"--length {length} leaves no room for text: the tokenizer puts "
                f"{len(before) + len(behind)} tokens around each."
            )
        count = max(1, len(self.ids) // room)
        inner = self.ids[: count * room].reshape(count, -1)
        around = (np.tile(np.array(special, np.int32), (count, 1)) for special in (before, behind))
        first, last = around
        return np.concatenate([first, inner, last], axis=1)


class TextSource(Source):
    """Windows of texts, one sample each."""

    def __init__(self, texts: TokenizedTexts, signature: Signature) -> None:
        """Cuts the windows.

        Raises:
            InputError: It is not known which input of the model takes token ids.
        """
        spec = ids_of(signature.inputs)
        if spec is None:
            names = ", ".join(f"'{each.name}'" for each in signature.inputs)
            raise InputError(
                f"{texts.files[0]} holds texts, but none of the model's inputs ({names}) is known "
                "to take token ids: name it input_ids, or use .npz files whose keys are the "
                "inputs' names."
            )
        fixed = (spec.dims or ())[-1]
        self._name = spec.name
        self._windows = texts.windows(fixed if isinstance(fixed, int) else None)
        self._where = str(texts.files[0]) if len(texts.files) == 1 else str(texts.files[0].parent)
        self._divides = signature.rows({spec.name: self._windows.shape}) is not None

    @property
    def records(self) -> int:
        """One; as many as there are windows where the model takes each whole."""
        return 1 if self._divides else len(self._windows)

    def counts(self) -> list[int]:
        """Number of windows."""
        return [len(self._windows)] if self._divides else [1] * len(self._windows)

    def head(self, record: int) -> Arrays:
        """The first windows."""
        return self.read(record, 0, 32)[0]

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Some windows."""
        rows = slice(start, stop) if self._divides else slice(record, record + 1)
        return {self._name: self._windows[rows]}, self._where


def _tokenizer(text: pathlib.Path, given: str | None) -> Tokenizer:
    """Reads the tokenizer.

    Raises:
        InputError: None is given, it cannot be read, or the library is missing.
    """
    if given is None:
        raise InputError(
            f"{text} holds text: add --tokenizer FILE, the tokenizer.json of the model."
        )
    if importlib.util.find_spec("tokenizers") is None:
        raise InputError(
            "Texts need the library tokenizers: python -m pip install 'onnx-factorize[text]'."
        )
    from tokenizers import Tokenizer  # noqa: PLC0415 - an extra

    path = pathlib.Path(given)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"--tokenizer {path} does not exist; give the model's tokenizer.json.")
    with reading(f"--tokenizer {path} cannot be read as a tokenizer"):
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    # These are for texts that are fed one by one.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The tokens that are put before a text, and behind it."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    for start in range(len(whole) - len(bare) + 1):
        if bare and whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


def _pieces(files: Iterable[pathlib.Path]) -> Iterator[str]:
    """Yields the texts of files in pieces, which end where lines do if these are not very long."""
    for path in files:
        with reading(f"{path} cannot be read as text"), path.open(encoding="utf-8-sig") as file:
            while piece := file.read(_AT_ONCE):
                yield piece + file.readline(_AT_ONCE)
