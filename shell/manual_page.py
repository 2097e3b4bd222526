"""The manual page laulima(1), made from the table of commands: everything that `--help` says, in the form of man(7).

`laulima docs --man` prints it; `make docs` keeps it in `docs/laulima.1` (`docs/manual.py`), and
`tests/shell/test_manual_page.py` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from shell.commands.learn import EXIT_CODES
from shell.main import command, program
from shell.verbs import VERBS, Verb

FILES = {
    ".laulima/": "the state directory: journal.sqlite (what happened), control.sock (for commands), page.json and "
    "page.token (of an open page), the output of jobs; more: laulima docs state",
    "pipeline.yaml": "what runs; its keys: laulima docs config",
}
VARIABLES = {
    "LAULIMA_STATE": "the state directory, where --state does not name one",
    "NO_COLOR": "with any value: no colours",
    "COLUMNS": "the width of tables that do not go to a terminal",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "of systemd: laulima run and laulima controller tell it their state",
}


def manual_page() -> str:
    """The whole page. It names no date and no version, so that only a change of the commands changes it."""
    return "".join(f"{line}\n" for line in _page())


def _page() -> Iterator[str]:
    whole = program()
    yield '.TH LAULIMA 1 "" "laulima" "User Commands"'
    yield ".SH NAME"
    yield r"laulima \- run a pipeline's tasks on many machines, say why something is not running, rehearse bad nights"
    yield ".SH SYNOPSIS"
    yield r"\fBlaulima\fR [\fB\-\-state\fR \fIDIR\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]"
    yield ".SH DESCRIPTION"
    yield _text(whole.help or "")
    yield r"Short texts on everything, offline: \fBlaulima docs\fR."
    yield from _options(click.Context(whole, info_name="laulima"), {})
    for section in dict.fromkeys(verb.section for verb in VERBS):
        yield f'.SH "{_text(section.upper())}"'
        for verb in VERBS:
            if verb.section == section:
                yield from _command(verb)
    yield ".SH EXIT STATUS"
    yield from (".nf", *map(_text, EXIT_CODES.splitlines()), ".fi")
    yield ".SH FILES"
    yield from _list(FILES)
    yield ".SH ENVIRONMENT"
    yield from _list(VARIABLES)


def _command(verb: Verb) -> Iterator[str]:
    made = command(verb)
    context = click.Context(made, info_name=verb.name)
    yield f".SS {_text(verb.name)}"
    yield rf"\fBlaulima {_text(verb.name)}\fR {_text(' '.join(made.collect_usage_pieces(context)))}"
    yield ".PP"
    yield _text(verb.help)
    yield from _options(context, {parameter.name: parameter.help for parameter in verb.parameters})
    if verb.example:
        yield from (".PP", "Example:", ".PP", ".in +4n", rf"\fB{_text(verb.example)}\fR", ".in")


def _options(context: click.Context, helps: dict[str, str]) -> Iterator[str]:
    """`helps` has what the table says of arguments, too: click has no help for them."""
    for parameter in context.command.params:
        if isinstance(parameter, click.Argument):
            about = helps.get(parameter.name or "", "")
            name = rf"\fI{_text(parameter.make_metavar(context))}\fR"
        else:
            words, about = parameter.get_help_record(context) or ("", "")
            name = rf"\fB{_text(words)}\fR"
        if about:
            yield from (".TP", name, _text(about))


def _list(entries: dict[str, str]) -> Iterator[str]:
    for name, about in entries.items():
        yield from (".TP", rf"\fB{_text(name)}\fR", _text(about))


def _text(words: str) -> str:
    """As roff takes it: no backslash, hyphen or quote means anything else, and no line is taken for a request."""
    escaped = re.sub(r"[\\\-'`~^\"]", lambda found: _SIGNS[found[0]], " ".join(words.split()))
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


_SIGNS = {
    "\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha", '"': r"\(dq",
}  # fmt: skip
