"""Strict YAML: a file becomes plain data (dict, list, str, None) that knows where each piece stood.

Every scalar stays text: what `08:30`, `no` or `010` mean is for the schema to say, which knows the field. Refused, each
with its place: aliases, anchors, merge keys, tags, directives, a second document, a key twice, keys that are not text,
more than `DEPTH_MAX` levels, more than `BYTES_MAX` bytes, anything that is not UTF-8.

Used by the configuration and the scenario loader. What the data mean does not belong here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from shell.config.problems import InvalidConfiguration, KeyPath, Problem, Spot, dotted
from shell.file_errors import too_large
from shell.wording import clean, cut

BYTES_MAX = 1 << 20
"""Largest file, bytes. Pure Python reads about 1 MB in ten seconds; a configuration has a few kB."""
DEPTH_MAX = 20
"""Levels of mappings and lists."""
PROBLEMS_MAX = 100
"""Problems of one kind of check that are listed before it stops looking."""

YAML_SUFFIXES = (".yaml", ".yml")

Data = dict[str, "Data"] | list["Data"] | str | None

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_UNSAFE_VALUE = re.compile("[\x00\ud800-\udfff]")
_NULLS = frozenset({"", "~", "null"})


def is_script(path: Path) -> bool:
    """Whether the file is a script of the task language (anything that is not called YAML)."""
    return path.suffix.lower() not in YAML_SUFFIXES


class Document:
    """Plain data and the places of its parts.

    `data` is the top mapping (an empty file gives an empty one); `problems` holds what was refused, with the data
    read as far as they could be (of a key that stands twice, the first); `digest` is the BLAKE2 of the bytes in hex.
    """

    def __init__(self, name: str, text: str, digest: str) -> None:
        self.name = name
        self.lines: tuple[str, ...] = tuple(_BREAK.split(text))
        self.digest = digest
        self.data: dict[str, Data] = {}
        self.problems: list[Problem] = []
        self._keys: dict[KeyPath, Spot] = {}
        self._values: dict[KeyPath, Spot] = {}
        self._refused: set[KeyPath] = set()

    def position(self, path: KeyPath, *, key: bool = False) -> Spot | None:
        """Where the value at `path` stands (with `key`: its key); None when the document has nothing there.

        For a mapping or list that begins on a line below its key this is the key, which is what a person looks for.
        """
        value, named = self._values.get(path), self._keys.get(path)
        if key and named is not None:
            return named
        return value if value is not None else named

    def nearest(self, path: KeyPath, *, key: bool = False) -> Spot:
        """The place of `path`, or of the innermost thing around it that is in the document."""
        while path:
            spot = self.position(path, key=key)
            if spot is not None:
                return spot
            path = path[:-1]
        return Spot(1, 1)

    def existing(self, path: KeyPath) -> KeyPath:
        """The part of `path` that is in the document."""
        while path and path not in self._values:
            path = path[:-1]
        return path

    def problem(self, path: KeyPath, message: str, *, key: bool = False) -> Problem:
        """A problem at `path`, which may be something that is missing."""
        return Problem(self.nearest(path, key=key), dotted(path), message)

    def refused(self, path: KeyPath) -> bool:
        """Whether the value at `path` or around it was refused, so that its data are not what the file says."""
        return any(path[:length] in self._refused for length in range(len(path) + 1))

    @property
    def refusals(self) -> frozenset[KeyPath]:
        """Where something was refused."""
        return frozenset(self._refused)

    def note(self, path: KeyPath, spot: Spot, *, named: Spot | None, inline: bool) -> None:
        """Remember where the value at `path` stands (reader only)."""
        if named is not None:
            self._keys[path] = named
        self._values[path] = spot if named is None or inline or spot.line == named.line else named

    def refuse(self, path: KeyPath, spot: Spot, message: str, *, lost: bool = True) -> None:
        """Note that something at `path` is not accepted; `lost`: so the data there are not what it says (reader
        only)."""
        if lost:
            self._refused.add(path)
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(spot, dotted(path), message))


def read_document(source: Path | str, name: str = "") -> Document:
    """Read a file (`Path`) or a text (`str`); `name` is what messages call it (default: the path).

    Raises `InvalidConfiguration` with every problem that was found.
    """
    document = parse_file(source, name) if isinstance(source, Path) else parse_text(source, name or "text")
    if document.problems:
        raise InvalidConfiguration(document.name, document.problems, document.lines)
    return document


def parse_file(path: Path, name: str = "") -> Document:
    """Like `read_document`, but problems that leave something to look at are in `Document.problems`."""
    name = name or str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(BYTES_MAX + 1)
            if len(content) > BYTES_MAX:
                raise InvalidConfiguration(name, [Problem(None, "", too_large(stream, BYTES_MAX))])
    except FileNotFoundError:
        raise InvalidConfiguration(name, [Problem(None, "", "there is no such file")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidConfiguration(name, [Problem(None, "", f"cannot be read: {reason}")]) from error
    return parse_bytes(content, name)


def parse_text(text: str, name: str) -> Document:
    """Like `parse_bytes`, from text."""
    return parse_bytes(text.encode("utf-8", "surrogatepass"), name)


def parse_bytes(content: bytes, name: str) -> Document:
    """Decode and parse. Raises `InvalidConfiguration` when nothing can be made of it (encoding, syntax, size)."""
    if len(content) > BYTES_MAX:
        raise InvalidConfiguration(name, [Problem(None, "", f"is larger than {BYTES_MAX >> 20} MiB")])
    text = _decode(content, name)
    document = Document(name, text, blake2b(content, digest_size=16).hexdigest())
    _refuse_characters(document)
    try:
        top = _Builder(document).build(_events(text))
    except YAMLError as error:
        raise InvalidConfiguration(name, [_syntax(error, document)], document.lines) from error
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF", which the parser gives to chr()
        problem = Problem(Spot(1, 1), "", f"not YAML: {clean(str(error))}")
        raise InvalidConfiguration(name, [problem], document.lines) from error
    if isinstance(top, dict):
        document.data = top
    elif top is not None and not document.refused(()):
        document.refuse((), document.nearest(()), "expects keys such as `tasks:` at the top level")
    return document


def _decode(content: bytes, name: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidConfiguration(name, [Problem(None, "", "is UTF-16; save it as UTF-8")])
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        good = content[: error.start].decode("utf-8")
        lines = _BREAK.split(good)
        spot = Spot(len(lines), len(lines[-1]) + 1)
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InvalidConfiguration(name, [Problem(spot, "", message)]) from None


def _refuse_characters(document: Document) -> None:
    """The parser stops at the first character that YAML forbids; a person wants to see them all."""
    problems = [
        Problem(Spot(number, found.start() + 1), "", f"the character {clean(found[0])} is not allowed")
        for number, line in enumerate(document.lines, 1)
        for found in _FORBIDDEN.finditer(line)
    ]
    if problems:
        raise InvalidConfiguration(document.name, problems[:PROBLEMS_MAX], document.lines)


def _events(text: str) -> Iterator[Event]:
    yaml = YAML(typ="safe", pure=True)
    yield from yaml.parse(text)


def _syntax(error: YAMLError, document: Document) -> Problem:
    if not isinstance(error, MarkedYAMLError):
        return Problem(Spot(1, 1), "", f"not YAML: {cut(clean(str(error)), 200)}")
    mark = error.problem_mark or error.context_mark
    spot = Spot(1, 1) if mark is None else _spot(mark)
    line = document.lines[min(spot.line, len(document.lines)) - 1]
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation or line[spot.column - 1 : spot.column] == "\t":
        return Problem(Spot(spot.line, line.index("\t") + 1), "", "a tab; YAML is indented with spaces only")
    parts = [part for part in (error.problem, error.context) if part]
    message = f"not YAML: {' '.join(cut(clean(str(part)), 200) for part in parts)}"
    if error.context_mark is not None and mark is not error.context_mark:
        message += f" that began on line {error.context_mark.line + 1}"
    return Problem(spot, "", message)


def _spot(mark: StringMark) -> Spot:
    return Spot(mark.line + 1, mark.column + 1)


class _Builder:
    """Makes data of events; everything refused is noted and read on, so that all problems are found at once."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def build(self, events: Iterator[Event]) -> Data:
        top: Data = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.document.refuse(
                        (), _spot(event.start_mark), "a second document; one file holds one", lost=False
                    )
                    break
                if event.version or event.tags:
                    self.document.refuse((), _spot(event.start_mark), "directives (%…) are not accepted", lost=False)
            elif isinstance(event, NodeEvent):
                top = self._node(event, events, (), None, 1)
        return top

    def _node(self, event: Event, events: Iterator[Event], path: KeyPath, named: Spot | None, depth: int) -> Data:
        spot = _spot(event.start_mark)
        inline = isinstance(event, (ScalarEvent, AliasEvent)) and event.start_mark.index < event.end_mark.index
        self.document.note(path, spot, named=named, inline=inline)
        if isinstance(event, AliasEvent):
            self.document.refuse(path, spot, "aliases (*…) are not accepted; write the value out")
            return None
        self._refuse_decoration(event, path, spot)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path, spot)
        if depth > DEPTH_MAX:
            self.document.refuse(path, spot, f"more than {DEPTH_MAX} levels deep")
            raise InvalidConfiguration(self.document.name, self.document.problems, self.document.lines)
        if isinstance(event, MappingStartEvent):
            return self._mapping(events, path, depth)
        return self._sequence(events, path, depth)

    def _refuse_decoration(self, event: Event, path: KeyPath, spot: Spot) -> None:
        if getattr(event, "anchor", None) is not None:
            self.document.refuse(path, spot, "anchors (&…) are not accepted")
        if getattr(event, "ctag", None) is not None:
            self.document.refuse(path, spot, "tags (!…) are not accepted")

    def _scalar(self, event: ScalarEvent, path: KeyPath, spot: Spot) -> str | None:
        text = str(event.value)
        if event.implicit[0] and event.style is None and text in _NULLS:
            return None
        return self._safe(text, path, spot)

    def _safe(self, text: str, path: KeyPath, spot: Spot) -> str:
        """The text with the pairs of surrogates that JSON writes joined; what no command can be given is refused."""
        if not _UNSAFE_VALUE.search(text):
            return text
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
        if "\ufffd" in joined:
            self.document.refuse(path, spot, "holds a NUL or half a surrogate pair, which no command can be given")
        return joined

    def _mapping(self, events: Iterator[Event], path: KeyPath, depth: int) -> dict[str, Data]:
        mapping: dict[str, Data] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            spot = _spot(event.start_mark)
            key = self._key(event, events, path, spot, depth)
            inner = (*path, key)
            if key in mapping:
                first = self.document.nearest(inner, key=True)
                self._discard(next(events), events, depth)
                self.document.refuse(inner, spot, f"is there twice; the first is on line {first.line}", lost=False)
            else:
                mapping[key] = self._node(next(events), events, inner, spot, depth + 1)
        return mapping

    def _key(self, event: Event, events: Iterator[Event], path: KeyPath, spot: Spot, depth: int) -> str:
        if not isinstance(event, ScalarEvent):
            self._discard(event, events, depth)
            self.document.refuse(path, spot, "a key must be a word; quote a value that begins with {, [, & or *")
            return f"(line {spot.line} column {spot.column})"
        key = self._safe(str(event.value), path, spot)
        inner = (*path, key)
        self._refuse_decoration(event, inner, spot)
        if event.style is None and event.value == "<<":
            self.document.refuse(inner, spot, "merge keys (<<) are not accepted; use `defaults:`")
        elif event.style is None and event.value in _NULLS:
            self.document.refuse(inner, spot, "an empty key")
        return key

    def _sequence(self, events: Iterator[Event], path: KeyPath, depth: int) -> list[Data]:
        items: list[Data] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._node(event, events, (*path, len(items)), None, depth + 1))
        return items

    def _discard(self, event: Event, events: Iterator[Event], depth: int) -> None:
        """Read past a node that cannot have a place in the data."""
        level = 0
        while True:
            if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                level += 1
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                level -= 1
            if level + depth > DEPTH_MAX:
                problem = Problem(_spot(event.start_mark), "", f"more than {DEPTH_MAX} levels deep")
                raise InvalidConfiguration(self.document.name, [*self.document.problems, problem], self.document.lines)
            if level == 0:
                return
            event = next(events)
