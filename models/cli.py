"""The command line of the recipes: list, fetch, train, evaluate."""

import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table

from models.errors import RecipeError
from models.progress import say
from models.recipe import Recipe
from models.registry import get, names

P = ParamSpec("P")
R = TypeVar("R")


def _one_sentence(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a `RecipeError` into one sentence on stderr and exit code 1."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RecipeError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)

    return wrapped


@click.group()
def main() -> None:
    """Real models to compress: get them, and measure them against the truth."""


@main.command("list")
def list_models() -> None:
    """List the models, with their licences and metrics."""
    table = Table("name", "model", "licence", "source", "metric", "here", box=None)
    for name in names():
        recipe = get(name)
        here = "yes" if recipe.is_fetched else "no"
        table.add_row(name, recipe.summary, recipe.licence, recipe.source, recipe.metric, here)
    # A pipe has no width: give the table room rather than cut it.
    Console(width=None if sys.stdout.isatty() else 220).print(table)


@main.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Build it again even if it is there.")
@_one_sentence
def fetch(name: str, force: bool) -> None:
    """Get the model NAME (or all) and make its calibration and test data."""
    if name != "all":
        _fetch_one(get(name), force=force)
        return
    failed = []
    for each in names():
        try:
            _fetch_one(get(each), force=force)
        except RecipeError as error:
            click.echo(f"{each}: {error}", err=True)
            failed.append(each)
    if failed:
        raise RecipeError(f"Not fetched: {', '.join(failed)}.")


def _fetch_one(recipe: Recipe, *, force: bool) -> None:
    name = recipe.name
    click.echo(f"{name}: licence {recipe.licence}; from {recipe.source}")
    start = time.monotonic()
    if recipe.fetch(force=force):
        size = sum(file.stat().st_size for file in recipe.folder.rglob("*") if file.is_file())
        seconds = time.monotonic() - start
        click.echo(f"{name}: done in {seconds:.0f} s, {size / 1e6:.1f} MB in {recipe.folder}")
    elif recipe.root in recipe.folder.parents:
        click.echo(f"{name}: done already, in {recipe.folder}")
    else:
        click.echo(f"{name}: bundled, in {recipe.folder}")


@main.command()
@click.argument("name")
@_one_sentence
def train(name: str) -> None:
    """Train the model NAME again, and replace the one that is here."""
    get(name).train()


@main.command()
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), help="Use at most so many test samples.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_one_sentence
def evaluate(name: str, files: tuple[Path, ...], limit: int | None, as_json: bool) -> None:
    """Measure each of FILES, variants of the model NAME, against the truth."""
    recipe = get(name)
    rows = []
    for file in files:
        say(f"Evaluating {file}")
        rows.append({"file": str(file), **recipe.evaluate(file, limit)})
    if as_json:
        click.echo(json.dumps({"model": name, "limit": limit, "results": rows}, indent=2))
        return
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else 220).print(table)
