"""What mkdocs is told beside `mkdocs.yml`: pages that stand elsewhere, and the command line's.

The README is the front page, and the changelog and two further files are pages, too: links between
them and `docs/` are right in the repository, and are turned here into those of the site. The
reference of the command line is what `--help` of each command says.
"""

from __future__ import annotations

import html
import os
import pathlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any

import click
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parents[1]

# Files of the repository that are pages of the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "development/contributing.md",
    "models/README.md": "reference/models.md",
}
COMMANDS = "reference/command-line.md"

# Folders as the navigation has them, and the pages that come first in each.
SECTIONS = {
    "How to": ("howto", ("compress", "data", "decoders", "running", "torch")),
    "Reference": ("reference", ("command-line", "api", "report", "limits")),
    "Explanation": ("explanation", ("mathematics", "identity-blocks", "narrowing", "adjoint")),
    "Research": ("research", ("results", "weightings", "forms", "narrowing")),
    "Development": ("development", ("architecture", "extending", "contributing")),
}

_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Lists the pages: those of a folder are in the navigation without being named anywhere."""
    nav: list[dict[str, Any]] = [{"Start": "index.md"}, {"Tutorial": "tutorial.md"}]
    made = {COMMANDS, *ELSEWHERE.values()}
    for title, (folder, first) in SECTIONS.items():
        found = {path.stem for path in (ROOT / "docs" / folder).glob("*.md")}
        found |= {pathlib.Path(uri).stem for uri in made if uri.startswith(f"{folder}/")}
        order = [name for name in first if name in found]
        pages = [*order, *sorted(found.difference(order))]
        nav.append({title: [f"{folder}/{name}.md" for name in pages]})
    config.nav = [*nav, {"Changelog": "changelog.md"}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are no files of `docs/`."""
    for source, uri in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, COMMANDS, content=command_line()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links of the repository into those of the site."""
    uri = page.file.src_uri
    origin = next((path for path, at in ELSEWHERE.items() if at == uri), f"docs/{uri}")

    def turned(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link[1]))
        to = ELSEWHERE.get(path) or (path[5:] if path.startswith("docs/") else None)
        if to is None:
            return link[0]  # no page of the site: mkdocs says so
        return f"]({posixpath.relpath(to, posixpath.dirname(uri) or os.curdir)}{link[2] or ''})"

    return _LINK.sub(turned, markdown)


def command_line() -> str:
    """The page of all commands, from click."""
    from onnx_factorize.cli.main import cli  # noqa: PLC0415 - only where the site is built

    context = click.Context(cli, info_name="onnx-factorize")
    text = ["# The command line", "Made from what `--help` says."]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        formatter = _Markdown()
        inner = click.Context(command, info_name=f"onnx-factorize {name}")
        command.format_help(inner, formatter)
        text += [f"## {name}", *formatter.lines]
    return "\n\n".join(text) + "\n"


class _Markdown(click.HelpFormatter):
    """Writes help as markdown: sections as headings, options as tables."""

    def __init__(self) -> None:
        super().__init__(width=10_000, max_width=10_000)
        self.lines: list[str] = []

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:  # noqa: ARG002
        self.lines.append(f"```text\n{prog} {args}\n```")

    def write_heading(self, heading: str) -> None:
        self.lines.append(f"### {heading}")

    def write_paragraph(self) -> None:
        pass

    def write_text(self, text: str) -> None:
        self.lines.append(_escaped(" ".join(text.split())))

    def write_dl(self, rows: Sequence[tuple[str, str]], *_: Any, **__: Any) -> None:
        self.lines.append("\n".join(_table(rows)))


def _table(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "| option | |"
    yield "|---|---|"
    for option, meaning in rows:
        cell = html.escape(option).replace("|", "&#124;")
        yield f"| <code>{cell}</code> | {_escaped(' '.join(meaning.split()))} |"


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>|\[\]])", r"\\\1", text)
