"""Outputs that are what a selection chose, and what enters it in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import onnx_ir as ir

from ..passes import ExposeSelection, OutputKind, RecognizeOutputs, selects
from .caches import cache_outputs

__all__ = ["BY_USER", "Selected", "recognized", "selected"]

# Why an output is what the user says.
BY_USER = "--outputs"


@dataclasses.dataclass(frozen=True)
class Selected:
    """Outputs that cannot be compared: their size and order are others in every model.

    Attributes:
        behind: Name of each output that is what a selection chose, to that.
        entering: Values that are measured in their place.
    """

    behind: dict[str, str]
    entering: tuple[str, ...]

    @property
    def said(self) -> str:
        """The judgement of such outputs, as one line."""
        selections = ", ".join(dict.fromkeys(self.behind.values()))
        outputs, entering = ", ".join(self.behind), ", ".join(self.entering)
        return f"{outputs}: what {selections} chooses, judged by what enters it ({entering})"

    def as_dict(self) -> dict[str, Any]:
        """The section `selection` of the report."""
        return {"behind": self.behind, "entering": list(self.entering), "said": self.said}


def selected(model: ir.Model, kinds: Mapping[str, OutputKind]) -> Selected | None:
    """The outputs of a model that are what a selection chose; None if there are none.

    Args:
        model: The model; it is not changed.
        kinds: What each output, and each value that stands for some, was taken for. The user's
            word that an output is ignored holds for what stands for it.
    """
    ignored = (n for n, k in kinds.items() if k.kind == "ignore" and k.because == BY_USER)
    expose = ExposeSelection(ignored)
    expose(model.clone())
    entering = tuple(name for name in expose.entering if kinds[name].kind != "ignore")
    return Selected(expose.behind, entering) if entering else None


def recognized(model: ir.Model, ignored: Collection[str] = ()) -> dict[str, OutputKind]:
    """Recognises the kind of each output, and what enters a selection, from the graph alone.

    Args:
        model: The model; it is not changed.
        ignored: Outputs for which nothing stands.
    """
    expose, recognize = ExposeSelection(ignored), RecognizeOutputs()
    shown = model.clone() if selects(model) else model
    expose(shown)
    recognize(shown)
    kinds = dict(recognize.kinds)
    for name, selection in expose.behind.items():
        kinds[name] = OutputKind("ignore", because=f"what {selection} chooses")
    unseen = OutputKind("ignore", because="a cache, which only the next step reads")
    caches = dict.fromkeys(cache_outputs(model), unseen)
    others = [kind.kind for name, kind in kinds.items() if name not in caches]
    return kinds | caches if set(others) - {"ignore"} else kinds
