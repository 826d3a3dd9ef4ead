"""`onnx-factorize convert RESULT --factors pair`: the same factors, written in another way."""

from __future__ import annotations

import pathlib

import click
import onnx_ir as ir

from ..errors import InputError
from ..files import model_io
from ..passes import RotateFactors, record
from ..passes.identity_blocks import WriteIdentityBlocks, WritePairs
from .console import open_console, say
from .destinations import Destinations
from .help import help_option
from .written_files import expect

__all__ = ["convert_command"]


@click.command("convert")
@click.argument("result", metavar="RESULT", type=click.Path())
@click.option(
    "--factors",
    type=click.Choice(["pair", "identity", "rotated"]),
    required=True,
    help="pair: identity blocks become the factors that they stand for, which a quantizer may "
    "round. identity: factors become identity blocks, where that is exact enough. rotated: all are "
    "pairs, in which no number is large; a quantizer of your own loses less of them.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="OUT",
    help="Default: RESULT.pair.onnx, .identity.onnx or .rotated.onnx beside RESULT.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@help_option
def convert_command(result: str, factors: str, output: str | None, *, quiet: bool) -> None:
    """Write the factors of RESULT in another way; no data are needed."""
    source = pathlib.Path(result)
    model_io.check_file(source)
    target = source.with_suffix(f".{factors}.onnx") if output is None else pathlib.Path(output)
    destinations = Destinations([target])
    destinations.check(source)
    expect(destinations)
    model = model_io.load(source)
    count = _written(model, factors)
    if not count:
        raise InputError(_nothing(result, factors))
    record(model)
    model_io.save(model, target, external=model_io.is_external(model))
    console, _ = open_console(quiet=quiet)
    say(console, f"{count} operators are written as {_WORDS[factors]} now")
    say(console, "wrote ", (str(target), "bold"))


_WORDS = {"pair": "pairs of factors", "identity": "identity blocks", "rotated": "rotated pairs"}


def _written(model: ir.Model, factors: str) -> int:
    """Writes the factors of a model in place, and counts those that it wrote."""
    pairs, blocks, rotated = WritePairs(), WriteIdentityBlocks(), RotateFactors()
    if factors == "identity":
        blocks(model)
        return blocks.count
    pairs(model)
    if factors == "pair":
        return pairs.count
    rotated(model)
    return rotated.count


def _nothing(result: str, factors: str) -> str:
    other = _WORDS["identity" if factors == "pair" else "pair"]
    return (
        f"{result} holds no {other} that could be written as {_WORDS[factors]}; give a "
        "model that onnx-factorize made with them."
    )
