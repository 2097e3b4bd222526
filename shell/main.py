"""The command line: made from the table of verbs; and the one place where errors become exit codes.

`laulima` and `python -m shell.main` call `main`. A command's module is imported when that command runs, so that
`laulima status` starts quickly.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from model.errors import LaulimaError
from shell.selections import UsageError
from shell.session import Session
from shell.verbs import BY_NAME, STATE, VERBS, Form, Parameter, Verb, parameters
from shell.wording import clean_lines, nearest

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""
PIPE_CLOSED = 141
"""Exit code when the reader of our output went away: 128 + SIGPIPE."""


class PipeClosedError(Exception):
    """The reader of our output went away. (Not an OSError: click would take it for its own business.)"""


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a write may meet: not a bug of ours, and a sentence says more than a traceback."""


def _told(error: OSError) -> Exception:
    """What the surroundings of a command did to it, as an error for people; else the error itself. (A write, and a
    current folder that is gone, name no file.)"""
    if error.filename is None and error.errno in NO_ROOM:
        text = f"what was to be written could not be: {error.strerror}"
        return LaulimaError(text, "look at the disk that it goes to: df .; what was ordered has happened all the same")
    if error.filename is None and error.errno == errno.ENOENT:
        return LaulimaError("the current folder is not there any more", "go to another one: cd")
    return error


def duration_ns(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """`10m` as ns (a click callback)."""
    if value is None:
        return None
    from shell.durations import parse_duration  # noqa: PLC0415 - only commands with a duration pay for it

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


class Table(click.Group):
    """The group of all verbs. Commands are made from the table when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb.name for verb in VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = BY_NAME.get(cmd_name)
        return None if verb is None else command(verb)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] == "help":  # what other programs take, too
            args = [*args[1:2], "--help"]
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
        if args and args[0] not in BY_NAME:
            ctx.fail(f"no such command: {args[0]}{nearest(args[0], list(BY_NAME))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(verb.section for verb in VERBS):
            with formatter.section(section):
                formatter.write_dl([(verb.name, verb.help) for verb in VERBS if verb.section == section])


def command(verb: Verb) -> click.Command:
    """The click command of a verb."""

    def call(**values: Any) -> int:
        context = click.get_current_context()
        state = values.pop("state", None) or (context.obj or {}).get("state")
        try:
            code = verb.function()(Session(verb.name, state), **values)
            sys.stdout.flush()
        except UsageError as error:
            error.hint = error.hint or _how_to_call(context)
            raise
        except BrokenPipeError as error:
            raise PipeClosedError from error
        except OSError as error:
            raise _told(error) from error
        except EOFError as error:  # click would take it for Ctrl-D, and say nothing
            raise RuntimeError("a file or a connection has ended too early") from error
        return code

    return click.Command(
        verb.name,
        callback=call,
        params=[_parameter(parameter) for parameter in parameters(verb)],
        help=verb.help,
        epilog=f"Example: {verb.example}" if verb.example else None,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,
            "allow_interspersed_args": all(parameter.form is not Form.COMMAND for parameter in verb.parameters),
        },
    )


def _parameter(parameter: Parameter) -> click.Parameter:
    kind = _type(parameter)
    # For click a default of None is a value, and nothing that is required would be missing.
    default: dict[str, Any] = {} if parameter.default is None else {"default": parameter.default}
    if not parameter.flags:
        return click.Argument(
            [parameter.name],
            type=kind,
            nargs=-1 if parameter.many else 1,
            required=parameter.required,
            **default,
        )
    if parameter.form is Form.FLAG:
        return click.Option([*parameter.flags, parameter.name], is_flag=True, help=parameter.help)
    return click.Option(
        [*parameter.flags, parameter.name],
        type=kind,
        help=parameter.help,
        multiple=parameter.many,
        required=parameter.required,
        **default,
        show_default=bool(parameter.default),
        metavar="DURATION" if parameter.form is Form.DURATION else None,
        callback=duration_ns if parameter.form is Form.DURATION else None,
    )


def _type(parameter: Parameter) -> click.ParamType[Any] | type:
    match parameter.form:
        case Form.INTEGER:
            return click.IntRange(min=parameter.at_least)
        case Form.CHOICE:
            return click.Choice(parameter.choices)
        case Form.PATH:
            return click.Path()
        case _:
            return str


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415

        click.echo(f"laulima {version('laulima')}")
        context.exit()


def program() -> click.Group:
    """The whole command line."""

    def call(state: str | None) -> None:
        click.get_current_context().obj = {"state": state}

    return Table(
        "laulima",
        callback=call,
        params=[
            _parameter(STATE),
            click.Option(["-V", "--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version,
                         help="the version, and leave"),
        ],
        help="Runs a pipeline's tasks on many machines, says why something is not running, and rehearses bad nights.",
        epilog="Exit codes: 0 done, 1 said no, 2 usage, 3 server not reachable, 4 timed out waiting. "
        "First steps: laulima demo",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed; else the next file that is opened would take its place
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - to the end of the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = program().main(
            args=None if arguments is None else list(arguments), prog_name="laulima", standalone_mode=False
        )
    except LaulimaError as error:
        return report(error)
    except click.UsageError as error:
        return report(UsageError(_lowered(error.format_message()), _how_to_call(error.ctx)))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except PipeClosedError:
        _drop_output()  # the reader has what it wanted (`| head`)
        return PIPE_CLOSED
    return code if isinstance(code, int) else 0


def _drop_output() -> None:
    """Nothing more can be written, not even at interpreter exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _how_to_call(context: click.Context | None) -> str:
    """The way out of a command line that makes no sense: how this command is called, and where its options stand."""
    verb = None if context is None else BY_NAME.get(context.info_name or "")
    if context is None or verb is None:
        return "all commands: laulima --help"
    usage = " ".join(["laulima", verb.name, *context.command.collect_usage_pieces(context)])
    return f"{f'as in: {verb.example}' if verb.example else usage}; all options: laulima {verb.name} --help"


def _lowered(text: str) -> str:
    """click's sentence as a part of one of ours."""
    return text[:1].lower() + text[1:].rstrip(".")


def report(error: LaulimaError) -> int:
    """Say what went wrong and the way out, on stderr; gives the exit code."""
    try:
        sys.stdout.flush()
    except OSError:  # that is the error to be told
        _drop_output()
    prefix = "usage: " if isinstance(error, UsageError) else ""
    lines = [prefix + clean_lines(str(error))]
    if error.hint:
        lines.append(f"  {clean_lines(error.hint)}")
    sys.stderr.write("\n".join(lines) + "\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
