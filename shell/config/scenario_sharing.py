"""Load the pipelines of a scenario: one, or those of several schedulers that use one controller, and its cluster.

Called by `scenario.py`, which makes the world of what is found here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from model.configuration import Configuration, ControllerKind, without_tasks
from model.errors import ConfigurationError
from model.sharing import Terms
from shell.config.changes import OPTION, load_changed
from shell.config.loading import LoadedConfiguration
from shell.config.problems import InvalidConfiguration, KeyPath
from shell.config.reading import Document
from shell.config.scenario_sections import ScenarioSection, SharerSection
from shell.hostset import expand
from shell.wording import nearest
from sim.scenario import Ordered, Sharer

HINT = "the keys and their meaning: laulima docs scenario"


@dataclass(frozen=True)
class Pipelines:
    """`configuration`: of the pipeline, or where there are `sharers` of their controller. `warnings` are formatted."""

    configuration: Configuration
    sharers: tuple[Sharer, ...] = ()
    orders: tuple[Ordered, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def _own(self) -> list[Configuration]:
        return [sharer.configuration for sharer in self.sharers] or [self.configuration]

    @property
    def complete(self) -> bool:
        """Whether all tasks and hosts are known without running a script."""
        return all(one.language.complete for one in self._own)

    @property
    def task_names(self) -> list[str]:
        """As figures call them; a scheduler's task is `NAME.TASK` where there are several."""
        if not self.sharers:
            return _tasks_of(self.configuration)
        return [sharer.task_of(task) for sharer in self.sharers for task in _tasks_of(sharer.configuration)]


def _tasks_of(configuration: Configuration) -> list[str]:
    return [*(task.name for task in configuration.tasks), *configuration.language.tasks]


def load_pipelines(
    document: Document, sections: ScenarioSection, folder: Path, pipeline: Path | None, changes: tuple[str, ...]
) -> Pipelines:
    """`pipeline`: instead of the one that the scenario names. `changes` are made to it, or where several schedulers use
    one controller to that one's file, but for `schedulers.NAME.KEY`, which are of pipelines.

    Raises `InvalidConfiguration`, `ConfigurationError`.
    """
    files = _Files(document, folder)
    usual = pipeline or (None if sections.pipeline is None else files.find(("pipeline",), sections.pipeline))
    if not sections.schedulers and sections.controller is None:
        if usual is None:
            raise files.wrong(("pipeline",), "is missing: the file of the pipeline")
        changed = load_changed(usual, changes)
        return Pipelines(changed.loaded.configuration, (), changed.orders, changed.loaded.warnings)
    central = usual if sections.controller is None else files.find(("controller",), sections.controller)
    if central is None:
        raise files.wrong(("controller",), "is missing: the file of the controller (or `pipeline`, with its hosts)")
    own = [text for text in changes if _OF_SCHEDULERS.match(text)]
    shared = tuple(text for text in changes if text not in own)
    changed = load_changed(central, shared)
    configuration = changed.loaded.configuration
    if configuration.controller.kind is ControllerKind.SOCKET:
        key = "pipeline" if sections.controller is None else "controller"
        raise files.wrong((key,), "its hosts are those of another controller: `controller` names that one's file")
    loading = _Loading(own, central, shared, changed.loaded)
    sharers = _sharers(files, sections, usual, configuration, loading)
    warnings = tuple(dict.fromkeys(warning for one in loading.loaded.values() for warning in one.warnings))
    return Pipelines(without_tasks(configuration), sharers, changed.orders, warnings)


_OF_SCHEDULERS = re.compile(r"\s*schedulers\.")
_TERMS = ("share", "in_flight_max", "pending_max")
_NAMES = re.compile(r"([^.=\[]*(?:\[[^\]]*\][^.=\[]*)*)\.(.*)", re.DOTALL)
"""A scheduler or a set of them, and what follows."""
SET_HINT = "as in --set schedulers.north.tasks.warp.limits.in_flight=80"


class _Loading:
    """Loads pipelines with what is changed in them, each once: `loaded`, by file and changes."""

    def __init__(
        self, changes: Sequence[str], central: Path, shared: tuple[str, ...], controller: LoadedConfiguration
    ) -> None:
        """`changes`: `schedulers.NAME.KEY=VALUE` each; `shared`: those of the controller's file `central`, which may be
        a pipeline as well. Raises `ConfigurationError` for one that cannot be."""
        self.loaded = {(central, shared): controller}
        self._central, self._shared = central, shared
        self._changes = [self._split(text) for text in changes]

    @staticmethod
    def _split(text: str) -> tuple[str, tuple[str, ...], str]:
        """(the whole, the schedulers, the change of their pipelines)."""
        match = _NAMES.fullmatch(_OF_SCHEDULERS.sub("", text, count=1))
        if match is None or not match[1]:
            raise ConfigurationError(f"--set {text}: expects schedulers.NAME.KEY=VALUE", SET_HINT)
        key = match[2].partition("=")[0].strip()
        if key in _TERMS:
            raise ConfigurationError(
                f"--set {text}: {key} is no key of a pipeline, but a term of the controller",
                f"in its file: --set cluster.schedulers.{match[1]}.{key}={match[2].partition('=')[2].strip()}",
            )
        if key.startswith(("hosts.", "cluster.hosts")):
            raise ConfigurationError(f"--set {text}: the hosts are the controller's", f"in its file: --set {match[2]}")
        return text, expand(match[1]), match[2]

    def check(self, names: Sequence[str]) -> None:
        """These are all schedulers that there are. Raises `ConfigurationError`."""
        for text, changed, _ in self._changes:
            for name in changed:
                if name not in names:
                    raise ConfigurationError(
                        f"--set {text}: there is no scheduler {name}{nearest(name, list(names))}", SET_HINT
                    )

    def load(self, file: Path, name: str) -> LoadedConfiguration:
        """The pipeline of this scheduler. Raises `ConfigurationError`."""
        own = tuple(change for _, names, change in self._changes if name in names)
        changes = (*self._shared, *own) if file == self._central else own
        found = self.loaded.get((file, changes))
        if found is None:
            found = self.loaded[file, changes] = load_changed(file, changes, f"{OPTION}schedulers.{name}.").loaded
        return found


class _Files:
    """Files that a scenario names."""

    def __init__(self, document: Document, folder: Path) -> None:
        self._document = document
        self._folder = folder

    def wrong(self, path: KeyPath, message: str, hint: str = HINT, *, key: bool = False) -> InvalidConfiguration:
        problem = self._document.problem(path, message, key=key)
        return InvalidConfiguration(self._document.name, [problem], self._document.lines, hint)

    def find(self, path: KeyPath, name: str) -> Path:
        """The file of this name, beside the scenario."""
        if not (self._folder / name).exists():
            raise self.wrong(path, f"there is no file {name} beside this one", f"what is there: ls {self._folder}")
        return self._folder / name


def _sharers(
    files: _Files,
    sections: ScenarioSection,
    usual: Path | None,
    controller: Configuration,
    loading: _Loading,
) -> tuple[Sharer, ...]:
    """All schedulers."""
    found: dict[str, Sharer] = {}
    for text, section in sections.schedulers.items():
        at: KeyPath = ("schedulers", text)
        file = usual
        if section.pipeline is not None:
            file = files.find((*at, "pipeline"), section.pipeline)
        if file is None:
            raise files.wrong(at, "names no pipeline, and the scenario has none for all", key=True)
        try:
            names = expand(text)
        except ConfigurationError as error:
            raise files.wrong(at, str(error), key=True) from error
        for name in names:
            if name in found:
                raise files.wrong(at, f"there are two schedulers {name}", key=True)
            own = loading.load(file, name).configuration
            found[name] = Sharer(name, own, terms=_terms(section, name, controller))
    if not found:  # the pipeline alone, at the controller of a file of its own
        if usual is None:
            raise files.wrong(("controller",), "nobody uses it: `pipeline` or `schedulers` are missing", key=True)
        own = loading.load(usual, "").configuration
        name = own.controller.name or usual.stem
        found[name] = Sharer(name, loading.load(usual, name).configuration)
    loading.check(list(found))
    language = next((one.name for one in found.values() if one.configuration.language.hosts), "")
    if language:
        why = f"the scripts of {language} add hosts, and those of a shared controller are its own"
        raise files.wrong(("schedulers",), why, key=True)
    return tuple(found.values())


def _terms(section: SharerSection, name: str, controller: Configuration) -> Terms | None:
    """What the scenario says, the rest as the controller's file says; None: it says nothing."""
    said = {key: value for key in _TERMS if (value := getattr(section, key)) is not None}
    return replace(controller.cluster.terms_of(name), **said) if said else None
