"""Outputs that only feed the caches of a decoder's next step: they do not count unless asked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from ..calibration import Run
from ..passes import FindCaches, OutputKind
from ..runtime.session import Runtime
from ..units import listed

__all__ = ["Caches", "but_caches", "cache_outputs", "cached_values", "run_caches", "uncounted"]


@dataclasses.dataclass(frozen=True)
class Caches:
    """Outputs that are left out because they only feed caches.

    Attributes:
        outputs: Their names.
    """

    outputs: tuple[str, ...]

    @property
    def said(self) -> str:
        """The same, as one line."""
        return (
            f"{listed(self.outputs)}: only feed caches, and so do not count "
            "(--outputs NAME=gaussian overrules)"
        )

    def as_dict(self) -> dict[str, Any]:
        """The section `caches` of the report."""
        return {"outputs": list(self.outputs), "said": self.said}


def cache_outputs(model: ir.Model) -> list[str]:
    """The outputs of a model that only feed caches."""
    finder = FindCaches()
    finder(model)
    return finder.outputs


def cached_values(model: ir.Model) -> list[str]:
    """The inputs that hold caches, and the outputs that only feed such."""
    finder = FindCaches()
    finder(model)
    return [cache.input for cache in finder.caches] + finder.outputs


def but_caches(model: ir.Model) -> list[str]:
    """The other outputs; all where there are no others."""
    caches = set(cache_outputs(model))
    names = [value.name or "" for value in model.graph.outputs]
    return [name for name in names if name not in caches] or names


def run_caches(model: ir.Model, runtime: Runtime) -> Run | None:
    """Runs a model for what feeds its caches; None where nothing does.

    The model is loaded when it is first run.
    """
    names = cache_outputs(model)
    if not names:
        return None
    session = functools.cache(lambda: runtime.session(model, names))
    return lambda feeds: session().run(feeds)


def uncounted(model: ir.Model, kinds: Mapping[str, OutputKind]) -> Caches | None:
    """The outputs that only feed caches, and that do not count; None if there are none.

    Args:
        model: The model; it is not changed.
        kinds: What each output was taken for.
    """
    names = tuple(
        name for name in cache_outputs(model) if name in kinds and kinds[name].kind == "ignore"
    )
    return Caches(names) if names else None
