"""`onnx-factorize convert RESULT --factors pair`: the same factors, written in another way."""

from __future__ import annotations

import pathlib

import click

from ..errors import InputError
from ..files import model_io
from ..passes import record
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
    type=click.Choice(["pair", "identity"]),
    required=True,
    help="pair: identity blocks become the factors that they stand for, which a quantizer may "
    "round. identity: factors become identity blocks, where that is exact enough.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="OUT",
    help="Default: RESULT.pair.onnx or RESULT.identity.onnx beside RESULT.",
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
    converting = WritePairs() if factors == "pair" else WriteIdentityBlocks()
    converting(model)
    if not converting.count:
        raise InputError(_nothing(result, factors))
    record(model)
    model_io.save(model, target, external=model_io.is_external(model))
    console, _ = open_console(quiet=quiet)
    say(console, f"{converting.count} operators are written as {_WORDS[factors]} now")
    say(console, "wrote ", (str(target), "bold"))


_WORDS = {"pair": "pairs of factors", "identity": "identity blocks"}


def _nothing(result: str, factors: str) -> str:
    other = "identity" if factors == "pair" else "pair"
    return (
        f"{result} holds no {_WORDS[other]} that could be written as {_WORDS[factors]}; give a "
        "model that onnx-factorize made with them."
    )
