"""Knowledge of operators, by domain, name and the opset from which on it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

__all__ = ["Registry", "standard"]

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Entries of operators, of each the newest not above an opset.

    Example:
        >>> table = Registry[str]()
        >>> table.add("axes as attributes", "Squeeze", since=1)
        >>> table.add("axes as an input", "Squeeze", since=13)
        >>> table.find("", "Squeeze", 12)
        'axes as attributes'
        >>> table.versions("", "Squeeze")
        (1, 13)

    Attributes:
        spans: By domain and name, the later versions that an entry serves although they changed the
            operator, each with the reason.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], dict[int, Entry]] = {}
        self.spans: dict[tuple[str, str], dict[int, str]] = {}

    def add(
        self,
        entry: Entry,
        *names: str,
        since: int = 1,
        domain: str = "",
        spans: Mapping[int, str] | None = None,
    ) -> None:
        """Adds one entry for operators of a domain, from an opset on.

        Args:
            entry: What is known.
            names: The operators that share it.
            since: The first opset that it holds for; 1 stands for the operator's first.
            domain: The operators' domain.
            spans: Later versions that changed the operator and that the entry serves, too: how.
        """
        for name in names:
            self._entries.setdefault((domain, name), {})[since] = entry
            self.spans.setdefault((domain, name), {}).update(spans or {})

    def find(self, domain: str, name: str, opset: int) -> Entry | None:
        """The newest entry of an operator that is not above an opset, or None."""
        entries = self._entries.get((standard(domain), name), {})
        since = max((version for version in entries if version <= opset), default=None)
        return None if since is None else entries[since]

    def versions(self, domain: str, name: str) -> tuple[int, ...]:
        """The opsets from which on an operator's entries hold, in ascending order."""
        return tuple(sorted(self._entries.get((standard(domain), name), ())))

    def operators(self) -> list[tuple[str, str]]:
        """Domain and name of every operator that has an entry, in order."""
        return sorted(self._entries)


def standard(domain: str) -> str:
    """A domain with the one alias of the standard operators' resolved."""
    return "" if domain == "ai.onnx" else domain
