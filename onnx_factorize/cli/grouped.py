"""Options in groups, each under a heading in `--help`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .headings import HEADINGS, OTHER

__all__ = ["GroupedCommand", "Words", "option"]

if TYPE_CHECKING:
    _Text = click.ParamType[str]
else:
    _Text = click.ParamType  # which takes no parameters before click 8.4

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _GroupedOption(click.Option):
    """An option under a heading."""

    def __init__(self, *arguments: Any, group: str = OTHER, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has a heading for each group of options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                groups.setdefault(getattr(param, "group", OTHER), []).append(record)
        for group in sorted(groups, key=HEADINGS.index):
            with formatter.section(group):
                formatter.write_dl(groups[group])


class Words(_Text):
    """One of some words, which help shows and shells complete; whoever takes it checks it."""

    name = "text"

    def __init__(self, words: Callable[[], tuple[str, ...]]) -> None:
        """Keeps where the words come from.

        Args:
            words: Gives them; asked only for help and completion.
        """
        self._words = words

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """The words, as click shows those of a choice."""
        return f"[{'|'.join(self._words())}]"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - likewise
        incomplete: str,
    ) -> list[CompletionItem]:
        """The words that begin so."""
        return [CompletionItem(word) for word in self._words() if word.startswith(incomplete)]


def option(*flags: str, group: str, **settings: Any) -> Callable[[_Command], _Command]:
    """An option of a command, under a heading.

    Args:
        *flags: As `click.option` takes them.
        group: The heading.
        **settings: As `click.option` takes them.
    """
    return click.option(*flags, cls=_GroupedOption, group=group, **settings)
