"""Reports without the folders of the machine that they were made on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ...options import Options

__all__ = ["without_folders"]

# Options of the command line that name files, beside those of `Options` that say so.
_FILES = {"--calib", "--output", "-o", "--report", "--config"}
_KEYS = {"model", "calib", "output", "report"}

# What stands in an origin before a file's own name.
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[^\s,;:'\"]*[/\\](?=[^/\\\s,;:])")


def without_folders(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report in which files are called by their names, to be shown to others.

    Args:
        report: What `Report.as_plain` gives; it is not changed.
    """
    shown = dict(report)
    if shown.get("command_line"):
        shown["command_line"] = _command(shown["command_line"])
    named = {named.name for named in Options.names().values() if named.metavar == "FILE"}
    if shown.get("config"):
        shown["config"] = _by_key(shown["config"], named | _KEYS)
    shown["command"] = {
        key: _by_key(value, {"checkpoint", "tokenizer", "custom_ops"})
        if isinstance(value, Mapping)
        else _name(value)
        if key in named
        else value
        for key, value in report["command"].items()
    }
    divergence = dict(report["divergence"])
    divergence["worst"] = [
        {**each, "sample": _FOLDERS.sub("", each["sample"])}
        for each in divergence.get("worst") or []
    ]
    shown["divergence"] = divergence
    shown["warnings"] = [_FOLDERS_OF_FILES.sub("", each) for each in report["warnings"]]
    return shown


# In sentences only what is surely a file: names of nodes hold slashes, too.
_FOLDERS_OF_FILES = re.compile(
    r"(?:[A-Za-z]:)?[^\s,;:'\"]*[/\\](?=[^/\\\s,;:'\"]+\.(?:onnx|npz|npy|json|txt|pb|png|jpe?g)\b)"
)


def _command(typed: str) -> str:
    """A command line with the names of files alone."""
    flags = {f"--{named.flag}" for named in Options.names().values() if named.metavar == "FILE"}
    flags |= _FILES
    try:
        words = shlex.split(typed)
    except ValueError:
        return typed
    found, before = [], ""
    for word in words:
        flag, equals, value = word.partition("=")
        if before in flags or not (word.startswith("-") or before.startswith("-")):
            found.append(_name(word))
        elif equals and flag in flags:
            found.append(f"{flag}={_name(value)}")
        else:
            found.append(word)
        before = word
    return shlex.join(found)


def _by_key(values: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: _name(value) if key in keys else value for key, value in values.items()}


def _name(value: Any) -> Any:
    """The last part of a path, or of each of several; all else as it is."""
    if isinstance(value, list | tuple):
        return [_name(each) for each in value]
    if not isinstance(value, str):
        return value
    parts = re.split(r"[/\\]", value.rstrip("/\\"))
    return parts[-1] or value
