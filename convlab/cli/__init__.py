"""The command line. One file a command, imported when that command is asked for; they parse, call and print."""

import importlib
import warnings
from typing import Any

import click

from ..errors import ConvlabError

# The command's name, its module, and its line in `convlab --help`, which thereby imports none of them.
_COMMANDS = {
    "bench": ("bench", "Check every algorithm on a problem, then time them against each other."),
    "list": ("list_", "Show the installed algorithms and peers, and where each comes from."),
    "explain": ("explain", "Say which algorithm a problem gets, and why."),
    "check": ("check", "Try an algorithm on what the interface promises."),
}


class Refusal(click.ClickException):
    """An error in what was asked for: one line, exit status 2."""

    exit_code = 2


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """A plugin that does not load is told in one line; where the warning was raised is of no use here."""
    click.echo(f"Warning: {message}", err=True)


class _Commands(click.Group):
    """A group whose commands are loaded one at a time, and in which convlab's errors are one line each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{_COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except ConvlabError as error:
            raise Refusal(str(error)) from error
        except MemoryError as error:
            raise Refusal(f"the problem does not fit into memory: {error}") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="convlab")
def main() -> None:
    """Convolutions by interchangeable algorithms: compare them, check them, ask why one was chosen."""
