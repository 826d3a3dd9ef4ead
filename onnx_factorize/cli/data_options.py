"""The options that commands share, and the files that they name."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..errors import InputError
from .grouped import option
from .headings import DATA, MACHINE, MEANING, PRINTED
from .option_fields import fields

__all__ = ["data_options", "default_output", "optional_data_options", "output_of"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def data_options(command: _Command) -> _Command:
    """Options that say which data to use and how to run the model."""
    return _options(command, required=True)


def optional_data_options(command: _Command) -> _Command:
    """The same where zeros may stand in for data."""
    return _options(command, required=False)


def _options(command: _Command, *, required: bool) -> _Command:
    instead = "" if required else " Zeros stand in for data by default."
    for each in reversed(
        [
            option(
                "--calib",
                group=DATA,
                required=required,
                type=click.Path(),
                multiple=True,
                callback=_one_or_several,
                metavar="PATH",
                help="Calibration data: a folder of .npz (keys are input names) or .npy, a .npz, "
                "a folder with test_data_set_*, a folder of images, a .txt or a folder of them, a "
                f"quoted pattern of files ('data/*.npz'), or module:callable. Repeatable.{instead}",
            ),
            fields(DATA, "samples", "batch_size", "seed"),
            fields(DATA, "image_mean", "image_std", "image_layout", "image_size"),
            fields(DATA, "tokenizer", "length"),
            fields(MEANING, "outputs", "batch_axis", "mask", "state"),
            fields(MACHINE, "memory", "runtime", "measure", "provider", "threads", "custom_ops"),
            option("-q", "--quiet", is_flag=True, help="Print nothing but errors.", group=PRINTED),
        ]
    ):
        command = each(command)
    return command


def _one_or_several(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> str | list[str] | None:
    """What names calibration data: one name is no list, for it may be a function's."""
    return given[0] if len(given) == 1 else list(given) or None


def output_of(text: str) -> pathlib.Path:
    """The path of a file to write.

    Raises:
        InputError: It ends as folders do, and there is no such folder.
    """
    path = pathlib.Path(text)
    if text.endswith(("/", os.sep)) and not path.is_dir():
        raise InputError(f"{text} is a folder that does not exist; give a file to write.")
    return path


def default_output(model: str) -> pathlib.Path:
    """MODEL.factorized.onnx beside the model."""
    path = pathlib.Path(model)
    return path.with_name(f"{path.name.removesuffix('.onnx')}.factorized.onnx")
