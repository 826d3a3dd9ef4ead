"""The command line's options of training, and the object that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from ..errors import InputError
from ..training import SVTKind, Training

__all__ = ["training_of", "training_options"]

_OF_TRAINING = (
    "epochs", "lr", "label_share", "hidden", "augment", "device", "svt", "checkpoint",
)  # fmt: skip
_NOT_GIVEN = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def training_options(command: _Command) -> _Command:
    """Options that say whether and how the result is trained."""
    for option in reversed(
        [
            click.option(
                "--finetune", is_flag=True, help="Train the result towards MODEL (needs torch)."
            ),
            click.option(
                "--epochs", default=10, show_default=True, help="Passes of --finetune, at most."
            ),
            click.option(
                "--lr", default=5e-4, show_default=True, help="Learning rate of --finetune."
            ),
            click.option(
                "--label-share",
                default=0.0,
                show_default=True,
                help="Weight in --finetune of the data's labels, beside MODEL's answers.",
            ),
            click.option(
                "--hidden",
                default=0.0,
                show_default=True,
                help="Weight in --finetune of what operators compute, beside MODEL's answers.",
            ),
            click.option(
                "--augment",
                metavar="MODULE:CALLABLE",
                help="Changes the samples of --finetune at random: from feeds and a numpy "
                "generator to feeds.",
            ),
            click.option(
                "--device", default="cpu", show_default=True, help="Where --finetune trains."
            ),
            click.option(
                "--svt",
                type=click.Choice(get_args(SVTKind)),
                default="none",
                show_default=True,
                help="Find ranks in the first half of --epochs, by singular value thresholding.",
            ),
            click.option(
                "--checkpoint",
                metavar="FILE",
                help="Keep the training of --finetune in FILE.safetensors, and continue from "
                "there.",
            ),
        ]
    ):
        command = option(command)
    return command


def training_of(given: Mapping[str, Any]) -> Training:
    """How to train.

    Raises:
        InputError: An option of training was given without --finetune, or is wrong.
    """
    context = click.get_current_context()
    for name in () if given["finetune"] else _OF_TRAINING:
        if context.get_parameter_source(name) not in _NOT_GIVEN:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} is an option of --finetune: add that, or leave it out.")
    return Training(
        given["epochs"],
        given["lr"],
        given["checkpoint"],
        given["svt"],
        given["label_share"],
        given["hidden"],
        given["augment"],
        given["device"],
    )
