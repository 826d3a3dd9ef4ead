"""Options of text files, as the user gives them."""

from __future__ import annotations

import dataclasses

from ..errors import at_least
from .fields import option

__all__ = ["TextOptions"]


@dataclasses.dataclass(frozen=True)
class TextOptions:
    """The conversion of text files to token ids.

    Texts are joined, tokenized, and cut in windows, each of which is a sample and has the special
    tokens that the tokenizer puts around a text.

    Attributes:
        tokenizer: The tokenizer's file, as the library `tokenizers` writes it, or its folder.
        length: Tokens of a window; None for what the model fixes, or else 128.
    """

    tokenizer: str | None = option(
        None, "The tokenizer of text files: its tokenizer.json.", metavar="FILE"
    )
    length: int | None = option(
        None, "Tokens of a window of text.  [default: what MODEL fixes, or 128]", metavar="TOKENS"
    )

    def __post_init__(self) -> None:
        if self.length is not None:
            at_least("--length", self.length, 1)

    @property
    def given(self) -> list[str]:
        """The flags of the options that say something."""
        flags = {"--tokenizer": self.tokenizer, "--length": self.length}
        return [flag for flag, value in flags.items() if value is not None]
