"""Reading the command line's options into the objects that the Python functions take."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import click

from ..errors import InputError
from ..options import ImageOptions, RuntimeOptions, Selection, StateOption
from ..options.types import numbers_of, size_of
from ..passes import Kind
from ..runtime.runtimes import runtime_names

__all__ = [
    "TYPED",
    "custom_ops_option",
    "data_options",
    "default_output",
    "images_of",
    "named_of",
    "output_kinds_of",
    "output_of",
    "runtime_options_of",
    "selection_of",
    "state_of",
    "typed",
]

# Where click keeps the command line as it was typed.
TYPED = "onnx_factorize.command_line"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def custom_ops_option(command: _Command) -> _Command:
    """Adds the option for operators of the user's own."""
    return click.option(
        "--custom-ops",
        multiple=True,
        type=click.Path(),
        metavar="FILE",
        help="A library of operators that onnxruntime does not have; repeatable.",
    )(command)


def data_options(command: _Command) -> _Command:
    """Options that say which data to use and how to run the model."""
    for option in reversed(
        [
            click.option(
                "--calib",
                required=True,
                type=click.Path(),
                metavar="PATH",
                help="Calibration data: a folder of .npz (keys are input names) or .npy, a .npz, "
                "a folder with test_data_set_*, a folder of images, or module:callable.",
            ),
            click.option("--samples", default=1024, show_default=True, help="Use at most N."),
            click.option(
                "--batch-size", default=32, show_default=True, help="Samples run at once."
            ),
            click.option("--seed", default=0, show_default=True),
            click.option(
                "--runtime",
                default="onnxruntime",
                show_default=True,
                metavar="NAME",
                help=f"What runs and times models: {', '.join(runtime_names())}.",
            ),
            click.option("--provider", default="CPUExecutionProvider", show_default=True),
            click.option("--threads", default=0, help="Threads of an operator; 0 for the default."),
            custom_ops_option,
            click.option(
                "--outputs",
                multiple=True,
                metavar="NAME=KIND",
                help="categorical, bernoulli, gaussian or ignore, where recognition is wrong.",
            ),
            click.option(
                "--batch-axis",
                multiple=True,
                metavar="INPUT=AXIS",
                help="0 where the input's first axis runs over samples, none where it does not, if "
                "what is found by running the model is wrong.",
            ),
            click.option(
                "--mask",
                multiple=True,
                metavar="INPUT=MEANING",
                help="keep where numbers other than zero are data, drop where they are padding, "
                "none where it is no mask, if what is found by running the model is wrong.",
            ),
            click.option(
                "--state",
                multiple=True,
                metavar="IN=OUT",
                help="The input IN takes what OUT gave a step before: verify along streams, too. "
                "Found by itself where the data are steps of one; none turns that off.",
            ),
            click.option("--image-mean", default="0.485,0.456,0.406", show_default=True),
            click.option("--image-std", default="0.229,0.224,0.225", show_default=True),
            click.option("--image-layout", type=click.Choice(["NCHW", "NHWC"])),
            click.option("--image-size", metavar="HxW", help="Where the model leaves it open."),
            click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
        ]
    ):
        command = option(command)
    return command


def typed() -> str:
    """The command line as it was typed."""
    return str(click.get_current_context().meta[TYPED])


def selection_of(given: Mapping[str, Any], holdout: float) -> Selection:
    """Which samples to use."""
    return Selection(given["samples"], holdout, given["batch_size"], given["seed"])


def runtime_options_of(given: Mapping[str, Any]) -> RuntimeOptions:
    """What runs models, and how."""
    return RuntimeOptions(
        given["provider"], given["threads"], given["custom_ops"], given["runtime"]
    )


def images_of(given: Mapping[str, Any]) -> ImageOptions:
    """How image files become arrays."""
    size = given["image_size"]
    return ImageOptions(
        numbers_of("--image-mean", given["image_mean"]),
        numbers_of("--image-std", given["image_std"]),
        given["image_layout"],
        None if size is None else size_of("--image-size", size),
    )


def output_kinds_of(given: Mapping[str, Any]) -> dict[str, Kind]:
    """What outputs stand for, as the user says it."""
    kinds: dict[str, Kind] = {}
    for text in given["outputs"]:
        # Output names may contain "=", kinds do not.
        name, equals, kind = text.rpartition("=")
        if not equals or not name:
            raise InputError(f"--outputs '{text}' is not of the form NAME=KIND.")
        kinds[name] = cast("Kind", kind)
    return kinds


def named_of(given: Mapping[str, Any], option: str, value: str) -> dict[str, Any]:
    """What is said of inputs by name, `NAME=VALUE`, each time that an option was given.

    Args:
        given: The command line.
        option: The option's name in it.
        value: What the value is, for a message.

    Raises:
        InputError: It is of another form.
    """
    named = {}
    for text in given[option]:
        name, equals, what = text.rpartition("=")
        if not equals or not name:
            dashed = option.replace("_", "-")
            raise InputError(f"--{dashed} '{text}' is not of the form INPUT={value}.")
        named[name] = what
    return named


def state_of(given: Mapping[str, Any]) -> StateOption:
    """What is carried from step to step, as the user says it.

    Raises:
        InputError: It is not of the form IN=OUT.
    """
    if given["state"] == ("none",):
        return "none"
    pairs: dict[str, str] = {}
    for text in given["state"]:
        name, equals, output = text.partition("=")
        if not equals or not name or not output:
            raise InputError(f"--state '{text}' is not of the form IN=OUT, nor none alone.")
        pairs[name] = output
    return pairs or None


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
