"""The templates, and how they show numbers."""

from __future__ import annotations

import importlib.resources
from typing import Any

import jinja2

from ...stages import title_of_stage
from ...units import count, nats, size
from .stat_cards import interval_said

__all__ = ["rendered"]


def rendered(template: str, **values: Any) -> str:
    """Fills in a template of this folder."""
    folder = importlib.resources.files(__package__)

    def load(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "size": size,
        "nats": nats,
        "breakable": breakable,
        "times": times,
        "ms": ms,
        "stage": title_of_stage,
    }
    environment.globals["interval_said"] = interval_said
    return environment.get_template(template).render(**values)


def breakable(name: str) -> str:
    """A name that may be wrapped after its separators (by zero-width spaces)."""
    for separator in "/._:":
        name = name.replace(separator, separator + "\u200b")
    return name


def times(ratio: float) -> str:
    """A factor, such as 0.39, 1.00 or 62."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def ms(value: float | None) -> str:
    """A time, such as 12.3 ms; nothing where it was not measured."""
    return "" if value is None else f"{value:.3g} ms"
