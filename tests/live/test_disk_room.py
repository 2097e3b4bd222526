"""Goal: a disk that was full is looked at again and again until there is room, whatever a look meets.

Method: a loop whose timers the test fires, and a journal that says what the test wants.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from live.disk_room import DiskRoom
from live.journal import JournalBrokenError, JournalFullError
from model.effects import Notice


def test_a_look_that_fails_is_told_once_and_tried_again() -> None:
    looks: list[Callable[[], None]] = []
    said: list[Notice] = []
    done: list[str] = []
    found: list[bool | JournalBrokenError] = []

    def keep_reserve() -> bool:
        answer = found.pop(0)
        if isinstance(answer, JournalBrokenError):
            raise answer
        return answer

    loop: Any = SimpleNamespace(call_later=lambda _, look: looks.append(look))
    journal: Any = SimpleNamespace(keep_reserve=keep_reserve)
    turns: Any = SimpleNamespace(closed=False, stuck=False)
    room = DiskRoom(loop, journal, turns, said.append, stop=done.append, resume=lambda: done.append("resumed"))
    room.stands_still(JournalFullError("no room", "make some"))
    found += [JournalBrokenError("no descriptors"), JournalBrokenError("no descriptors"), False, True]
    while looks:
        looks.pop(0)()
    assert done == ["disk full", "resumed"]
    assert [notice.level for notice in said] == ["alarm", "warning", "info"]
    assert room.text == ""
