"""The command line's options of training, and the object that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from ..options import Precision, SVTKind, Training, without_training

__all__ = ["training_of", "training_options"]

_OF_TRAINING = (
    "epochs", "lr", "label_share", "hidden", "augment", "device", "precision", "svt", "checkpoint",
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
                "--precision",
                type=click.Choice(get_args(Precision)),
                default="float32",
                show_default=True,
                help="Of matrix products in --finetune; bfloat16 is faster where hardware has it.",
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
    if not given["finetune"]:
        source = click.get_current_context().get_parameter_source
        without_training(name for name in _OF_TRAINING if source(name) not in _NOT_GIVEN)
    return Training(
        given["epochs"],
        given["lr"],
        given["checkpoint"],
        given["svt"],
        given["label_share"],
        given["hidden"],
        given["augment"],
        given["device"],
        given["precision"],
    )
