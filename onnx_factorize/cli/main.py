"""The command line: a thin skin over the Python functions."""

from __future__ import annotations

import difflib
import importlib
import logging
import pathlib
import shlex
import sys
import warnings
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..errors import FactorizeError, InputError, PrintError
from .encoding import adapt_streams, escaped
from .help import help_option, version_option
from .printing import complain
from .stopping import StoppedError, stoppable
from .typed import TYPED
from .written_files import what_was_written

__all__ = ["main"]

# Each command's file is imported when it is asked for: `--version` needs none of them.
_COMMANDS = {
    "compress": "compress.compress_command",
    "inspect": "inspect.inspect_command",
    "compare": "compare.compare_command",
    "convert": "convert.convert_command",
    "calibrate": "calibrate.calibrate_command",
    "merge": "calibrate.merge_command",
    "report": "report.report_command",
    "latency-kit": "latency_kit.latency_kit_command",
}


class _DefaultCommand(click.Group):
    """A group whose first argument may be a model: then the command is `compress`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of the commands, as the help has them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """A command; None where there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        file, _, name = _COMMANDS[cmd_name].partition(".")
        command = getattr(importlib.import_module(f".{file}", __package__), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists nothing: what is said of the group says how each is called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `compress` before a model that comes first."""
        ctx.meta[TYPED] = shlex.join(["onnx-factorize", *args])
        own = {"--help", "-h", "--version"}
        if args and args[0] not in _COMMANDS and args[0] not in own:
            if not ctx.resilient_parsing and own.isdisjoint(args):
                self._check_model(args[0])
            args = ["compress", *args]
        try:
            return super().parse_args(ctx, args)
        except PrintError as error:
            raise PrintError(f"{error}; {what_was_written(ctx.meta)}.") from error

    def _check_model(self, first: str) -> None:
        """Finds out whether what came first is a slip, before options are missed in `compress`."""
        if not first or first.startswith("-") or pathlib.Path(first).exists():
            return
        near = difflib.get_close_matches(first, _COMMANDS, 1)
        if near:
            raise InputError(f"'{first}' is neither a command nor a file: is it '{near[0]}'?")
        if not pathlib.Path(first).suffix and pathlib.Path(first).name == first:
            commands = ", ".join(_COMMANDS)
            raise InputError(f"'{first}' is neither a command ({commands}) nor a file.")
        from ..files import model_io  # noqa: PLC0415 - takes long, and good models need it later

        model_io.check_file(pathlib.Path(first))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; where it stops early, says what it has left behind."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise StoppedError(interrupt, what_was_written(ctx.meta)) from None
        except PrintError as error:
            raise PrintError(f"{error}; {what_was_written(ctx.meta)}.") from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and files, because a model may come first."""
        found = [CompletionItem(name) for name in _COMMANDS if name.startswith(incomplete)]
        options = super(click.Group, self).shell_complete(ctx, incomplete)
        return [*found, *options, CompletionItem(incomplete, type="file")]


@click.group(cls=_DefaultCommand, context_settings={"help_option_names": []})
@version_option
@help_option
def cli() -> None:
    """Compress trained ONNX models by calibrated low-rank factorization.

    \b
    onnx-factorize MODEL --calib DATA [-o OUT]       compress (see: compress --help)
    onnx-factorize inspect MODEL                     what could be compressed, and what not
    onnx-factorize compare DENSE SMALL --calib DATA  two models or more side by side
    onnx-factorize convert SMALL --factors pair      identity blocks as the factors that they were
    onnx-factorize calibrate MODEL --calib DATA -o FILE  statistics, in parts (--shard) or whole
    onnx-factorize merge PART... -o FILE             the parts added up, for compress --statistics
    onnx-factorize report FILE.json -o FILE.html     the page of a run that is over
    onnx-factorize latency-kit MODEL -o KIT          models that tell what ranks take elsewhere

    \b
    Examples:
      onnx-factorize model.onnx --calib data/
      onnx-factorize model.onnx --calib data.npz --budget bytes=12MB -o small.onnx
      onnx-factorize model.onnx --calib photos/ --budget targets=0.5 --report report.json
    """  # noqa: D301 - click takes a backspace for "keep these lines"


def main() -> None:
    """Runs the command line; errors become one sentence on stderr and an exit code."""
    # What it warns of is checked when a model is read, and then is one sentence of ours.
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    adapt_streams()
    with stoppable(), warnings.catch_warnings():
        # Numbers that overflow are found by looking at results, where they are told of.
        warnings.simplefilter("ignore", RuntimeWarning)
        code, said = _run()
    if said:
        complain(said)
    if code:
        sys.exit(code)


def _run() -> tuple[int, str]:
    """The exit code of a command, and what it complains of."""
    try:
        cli.main(prog_name="onnx-factorize", standalone_mode=False)
    except FactorizeError as error:
        return error.exit_code, f"onnx-factorize: {escaped(str(error))}"
    except click.exceptions.NoArgsIsHelpError as error:
        return error.exit_code, error.format_message()
    except click.UsageError as error:
        path = "onnx-factorize" if error.ctx is None else error.ctx.command_path
        said = escaped(error.format_message().rstrip().removesuffix("."))
        return error.exit_code, f"onnx-factorize: {said}; see {path} --help."
    except click.ClickException as error:
        return error.exit_code, f"onnx-factorize: {escaped(error.format_message())}"
    except (click.Abort, KeyboardInterrupt):
        return 130, "onnx-factorize: interrupted; nothing was written."
    except MemoryError:
        return 1, "onnx-factorize: out of memory; try a smaller --batch-size."
    return 0, ""
