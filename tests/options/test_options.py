"""Options by name, as Python gives them."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from onnx_factorize.errors import InputError
from onnx_factorize.options import Options


def test_names_of_the_command_line():
    options = Options.of(
        finetune=True, lr=0.01, op_type="Conv", image_size="32x48", image_mean="0.5, 0.25"
    )
    assert options.training.learning_rate == 0.01
    assert options.op_types == ("Conv",)
    assert options.images.size == (32, 48)
    assert options.images.mean == (0.5, 0.25)


def test_values_of_the_right_types():
    options = Options.of(
        epochs=np.int64(3), hidden=1, samples=8, checkpoint=None, image_size=(32, 32),
        finetune=True, outputs={"y": "gaussian"}, include=["a", "b"], rank_multiple=None,
        holdout=np.float32(0.5),
    )  # fmt: skip
    assert options.training.epochs == 3
    kept = Options.of(finetune=True, checkpoint=pathlib.Path("run.safetensors"))
    assert kept.training.checkpoint == "run.safetensors"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learning": 1}, "no option 'learning'"),
        ({"lr": "fast"}, "learning_rate must be a number"),
        ({"lr": 0.1, "learning_rate": 0.1}, "not both"),
        ({"outputs": "a=gaussian"}, "outputs must be a mapping"),
        ({"epochs": "3"}, "epochs must be a whole number, not '3'"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"samples": "many"}, "samples must be a whole number"),
        ({"threads": None}, "threads must be a whole number"),
        ({"rank_multiple": "8"}, "rank_multiple must be a whole number or None"),
        ({"finetune": "yes"}, "finetune must be True or False"),
        ({"image_size": "big"}, 'image_size="big"'),
        ({"image_size": 32}, "image_size must be a tuple or None"),
        ({"include": 3}, "include must be a tuple"),
        ({"weighting": 3}, "weighting must be text"),
        ({"budget": 0.5}, "budget must be text"),
    ],
)
def test_wrong_names_and_types(given, words):
    with pytest.raises(InputError, match=words):
        Options.of(**given)


def test_training_that_is_not_asked_for():
    with pytest.raises(InputError, match="learning_rate is an option of finetune"):
        Options.of(lr=0.01)
    # Whoever passes all settings on has said nothing.
    assert Options.of(epochs=10, lr=5e-4, device="cpu") == Options()
