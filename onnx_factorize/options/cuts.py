"""Options on what may be cut, and how."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

from ..deployment import Device
from ..deployment.devices import device_named
from ..errors import InputError, at_least
from .fields import option
from .words import Narrow, WrittenAs

__all__ = ["CutOptions"]


@dataclasses.dataclass(frozen=True)
class CutOptions:
    """The operators that may be cut, and the ways in which they may.

    Attributes:
        rank_multiple: Ranks are multiples of it; None picks 16, or less in small models.
        form: How convolutions are cut; `auto` lets the budget choose.
        factors: Whether two factors are written as such (`pair`), or as an identity block, wherever
            that can be (`identity`) or is worth it (`auto`).
        narrow: Whether channels between operators may go, where that loses less than factors
            (`auto`), or may not (`off`), or nothing else may be done (`only`).
        include: Regular expressions; only targets whose names, or the modules that they were
            exported from, match one are touched.
        exclude: Regular expressions; targets whose names match one stay dense.
        op_types: Only targets of these operators are touched; empty for all.
        deploy_to: The device that the result is for: its rules act where an option is left to the
            program (`rank_multiple`, `form` and `factors`), and on what is touched; None for none.
        keep_subnormals: Leave the subnormal weights of the dense model in what is not cut.
    """

    rank_multiple: int | None = option(
        None, "Ranks are multiples of it.  [default: 16, or less in small models]"
    )
    form: str = option("auto", "How convolutions are cut; auto takes the best.")
    factors: WrittenAs = option(
        "pair",
        "How two factors are written: a rank r of K x N takes r (K + N) numbers as a pair, or "
        "r (K + N - r) as an identity block.",
    )
    narrow: Narrow = option(
        "auto",
        "Whether channels between operators may go, too (auto), or not (off), or nothing but "
        "those (only).",
    )
    include: tuple[str, ...] = option(
        (),
        "Cut only nodes, or modules, with such names; repeatable.",
        metavar="REGEX",
        repeated=True,
    )
    exclude: tuple[str, ...] = option(
        (), "Cut no nodes, or modules, with such names; repeatable.", metavar="REGEX", repeated=True
    )
    op_types: tuple[str, ...] = option(
        (),
        "Cut only this operator, such as MatMul; repeatable.",
        flag="op-type",
        metavar="T",
        repeated=True,
    )
    deploy_to: str | None = option(
        None,
        "What the result is for: {words}. Settles what --rank-multiple, --form and --factors leave "
        "open, and which operators stay dense.",
        metavar="DEVICE",
    )
    keep_subnormals: bool = option(
        False,
        "Leave subnormal numbers in the dense model's weights, where they slow processors down; "
        "by default they become 0 where outputs stay equal to the bit on the data.",
    )

    @property
    def device(self) -> Device | None:
        """The device that the result is for; None where none is named."""
        return None if self.deploy_to is None else device_named(self.deploy_to)

    def excluded(self, name: str, op_type: str, module: str | None = None) -> str | None:
        """The reason why an operator is left alone; None where it may be touched.

        Args:
            name: Its name.
            op_type: The operator.
            module: The module that it was exported from: patterns may match that instead.
        """
        names = (name,) if module is None else (name, module)

        def matches(pattern: str) -> bool:
            return any(re.search(pattern, each) for each in names)

        if self.op_types and op_type not in self.op_types:
            return "is excluded by --op-type"
        if self.include and not any(map(matches, self.include)):
            return "is excluded by --include"
        if any(map(matches, self.exclude)):
            return "is excluded by --exclude"
        return None

    def _check_cuts(self) -> None:
        """Finds what is none of the words that an option takes, or out of range."""
        if self.narrow not in get_args(Narrow):
            raise InputError(f"--narrow is auto, off or only, not '{self.narrow}'.")
        if self.factors not in get_args(WrittenAs):
            raise InputError(f"--factors is auto, pair or identity, not '{self.factors}'.")
        if self.deploy_to is not None:
            device_named(self.deploy_to)
        if self.rank_multiple is not None:
            at_least("--rank-multiple", self.rank_multiple, 1)
        for pattern in (*self.include, *self.exclude):
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(f"'{pattern}' is not a regular expression: {error}.") from error
