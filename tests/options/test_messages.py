"""Messages about options, as the command line and as Python say them."""

from __future__ import annotations

import pytest

from onnx_factorize.errors import InputError
from onnx_factorize.options import Options
from onnx_factorize.options.messages import in_python

SAID = [
    ("--max-divergence 0.02 cannot be kept", "max_divergence=0.02 cannot be kept"),
    ("--max-divergence must be above zero.", "max_divergence must be above zero."),
    ("--lr must be above 0 and below 1.", "learning_rate must be above 0 and below 1."),
    ("--keep cosine=… is not", 'keep="cosine=…" is not'),
    ("or use --keep cosine=….", 'or use keep="cosine=…".'),
    ("--keep 'top1' is not of the form", 'keep="top1" is not of the form'),
    ("--keep my.module:f raised", 'keep="my.module:f" raised'),
    ("Give --max-divergence or --keep, not both:", "Give max_divergence or keep, not both:"),
    ("the best, with --budget targets=0.5, has", 'the best, with budget="targets=0.5", has'),
    ("or add --best-effort to take it.", "or add best_effort=True to take it."),
    ("leave --finetune out, train with", "leave finetune out, train with"),
    ("--finetune needs torch", "finetune needs torch"),
    ("--svt needs --epochs 2 or more.", "svt needs epochs=2 or more."),
    ("and no --prefer latency.", 'and no prefer="latency".'),
    ("--prefer is size or latency, not 'x'.", "prefer is size or latency, not 'x'."),
    ("--labels given and --label-share need", 'labels="given" and label_share need'),
    ("--mask m=keep: lengths", 'mask={"m": "keep"}: lengths'),
    ("(--batch-axis x=none if each)", '(batch_axis={"x": None} if each)'),
    ("--batch-axis x=1: samples", 'batch_axis={"x": 1}: samples'),
    ("--batch-axis names 'y', but", "batch_axis names 'y', but"),
    ("by --outputs NAME=KIND.", 'by outputs={"NAME": "KIND"}.'),
    ("--state h=hn --state c=cn", 'state={"h": "hn"} state={"c": "cn"}'),
    ("--image-size HEIGHTxWIDTH.", 'image_size="HEIGHTxWIDTH".'),
    ("--checkpoint 'a b/c.st': its folder", 'checkpoint="a b/c.st": its folder'),
    ("--checkpoint is damaged: remove it", "checkpoint is damaged: remove it"),
    ("--device 'gpu' cannot be used here", 'device="gpu" cannot be used here'),
    ("--calib feeds:make raised", 'calibration="feeds:make" raised'),
    ("x is no file; --calib takes", "x is no file; calibration takes"),
    (
        "excluded by --include, --op-type or --deploy-to.",
        "excluded by include, op_types or deploy_to.",
    ),
    ("give --samples 200", "give samples=200"),
    ("--holdout above 0.", "holdout above 0."),
    ("--unknown 3 and --calib", "--unknown 3 and calibration"),
]


@pytest.mark.parametrize(("typed", "python"), SAID)
def test_flags_are_parameters_in_python(typed, python):
    assert in_python(typed, Options.names()) == python


def test_a_message_in_python_stays_as_it_is():
    for _, python in SAID:
        if "--" not in python:
            assert in_python(python, Options.names()) == python


def test_options_name_parameters_and_those_of_the_command_line_flags():
    with pytest.raises(InputError, match=r"^learning_rate must be"):
        Options.of(finetune=True, lr=2.0)
    with pytest.raises(InputError, match=r"^--lr must be"):
        Options.typed(finetune=True, lr=2.0)
