"""`onnx-factorize report FILE.json -o FILE.html`: the page of a run that is over."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import click

from ..errors import InputError
from ..foreign import reading
from ..report.report import SCHEMA
from ..report.report_files import check_report, write_page
from .console import open_console, say
from .data_options import output_of
from .help import help_option
from .written_files import expect

__all__ = ["report_command"]


@click.command("report")
@click.argument("reports", metavar="FILE.json...", type=click.Path(), nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(), metavar="FILE.html", required=True, help="The page."
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@help_option
def report_command(reports: tuple[str, ...], output: str, *, quiet: bool) -> None:
    """Draw the page of a report; of several, that of a sweep over their budgets."""
    page = output_of(output)
    if page.suffix != ".html":
        raise InputError(f"{page} is no page that can be drawn; use FILE.html.")
    check_report(page)
    found = [_read(pathlib.Path(path)) for path in reports]
    if len({each["model"]["dense"]["sha256"] for each in found if "model" in each}) > 1:
        raise InputError("The reports are of different dense models; give those of one.")
    expect([page])
    with reading(f"{' or '.join(reports)} cannot be drawn, it may be of another version"):
        write_page(found, page)
    console, _ = open_console(quiet=quiet)
    say(console, "wrote ", (str(page), "bold"))


def _read(path: pathlib.Path) -> dict[str, Any]:
    """The data of a report.

    Raises:
        InputError: The file holds none.
    """
    with reading(f"{path} cannot be read"):
        if not path.is_file():
            raise InputError(f"{path} does not exist.")
        text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InputError(f"{path} is no report; give what --report FILE.json wrote.")
    return found
