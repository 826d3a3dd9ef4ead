"""The command, or the call, that makes the same model again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...options import Options
from ...options.fields import parts_of

__all__ = ["command_of", "toml_of"]

# Parts of the options, and how the names of what they hold begin.
_NESTED = {name: prefix for name, _, prefix in parts_of(Options)}


def command_of(report: Mapping[str, Any]) -> str:
    """The command as typed, or the Python call with every option that is not the default."""
    if report.get("command_line"):
        return str(report["command_line"])
    given = _flat(report["command"])
    usual = _flat(Options().as_dict())
    changed = [
        f"{name}={value!r}" for name, value in given.items() if _plain(value) != usual.get(name)
    ]
    model = report["model"]["dense"].get("file") or "model.onnx"
    return f"onnx_factorize.factorize({', '.join([repr(model), 'data', *changed])})"


def toml_of(config: Mapping[str, Any]) -> str:
    """Options as a file says them to `--config`; JSON's texts, numbers and lists are TOML's."""
    lines = (
        f"{name.replace('_', '-')} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in config.items()
        if isinstance(value, str | int | float | list)
    )
    return "\n".join(lines)


def _flat(command: Mapping[str, Any]) -> dict[str, Any]:
    """The options as `factorize` takes them."""
    flat: dict[str, Any] = {}
    for name, value in command.items():
        if name in _NESTED and isinstance(value, Mapping):
            flat |= {_NESTED[name] + inner: _plain(each) for inner, each in value.items()}
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    """JSON knows no tuples."""
    return list(value) if isinstance(value, tuple) else value
