"""Notices of a subordinate for the journals of its superiors: what it tells people goes to all that use it.

They travel beside the job channel's words, never among answers to orders, with numbers of their own. One window of them
is under way at a time; it is said again until it is heard. When more than `NOTICES_MAX` wait the oldest are dropped and
counted. `Telling` is the controller's end, one for each superior; `Hearing` is the scheduler's. Heard once at least: a
new life of the scheduler may be told again what the earlier one has heard.
"""

from __future__ import annotations

from model.effects import Notice
from model.messages import NOTICES_MAX, Notices, Told
from model.timers import NEVER_NS


class Telling:
    """What one superior is still to be told."""

    __slots__ = ("_dropped", "_number", "_waiting", "say_at")

    def __init__(self) -> None:
        self._waiting: dict[int, Told] = {}
        """by number, in order"""
        self._number = 0
        self._dropped = 0
        self.say_at = NEVER_NS
        """when the window that is under way is said again (ns); `NEVER_NS`: none is"""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notice: Notice) -> None:
        """One more notice, said when it can be."""
        self._number += 1
        self._waiting[self._number] = Told(notice.level, notice.about, notice.text)
        if len(self._waiting) > NOTICES_MAX:
            del self._waiting[next(iter(self._waiting))]
            self._dropped += 1

    def heard(self, number: int) -> None:
        """The superior has everything up to this number."""
        self._waiting = {each: told for each, told in self._waiting.items() if each > number}
        self.say_at = NEVER_NS

    def closed(self) -> None:
        """What was under way may be lost."""
        self.say_at = NEVER_NS

    def take(self, now: int, resend_ns: int) -> Notices | None:
        """The window, if there is one to be said now."""
        if not self._waiting or now < self.say_at != NEVER_NS:
            return None
        self.say_at = now + resend_ns
        return Notices(next(reversed(self._waiting)), tuple(self._waiting.values()), self._dropped)


class Hearing:
    """What was heard of one subordinate's notices."""

    __slots__ = ("_dropped", "_epoch", "_number")

    def __init__(self) -> None:
        self._epoch = 0
        self._number = 0
        self._dropped = 0

    def take(self, message: Notices, epoch: int, whose: str) -> list[Notice]:
        """What of it is new. `epoch`: the life of the subordinate that speaks."""
        if epoch != self._epoch:
            self._epoch, self._number, self._dropped = epoch, 0, 0
        found: list[Notice] = []
        if message.dropped > self._dropped:
            text = f"{message.dropped - self._dropped} notices of the {whose} were not heard: it keeps {NOTICES_MAX}"
            found.append(Notice("warning", whose, text))
            self._dropped = message.dropped
        first = message.number - len(message.told) + 1
        for number, told in enumerate(message.told, first):
            if number > self._number:
                found.append(Notice(told.level, told.about, told.text))
        self._number = max(self._number, message.number)
        return found
