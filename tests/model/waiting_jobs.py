"""Scheduler and controller with nothing between them and no host: so many jobs wait. For what a waiting job takes."""

from __future__ import annotations

from model.configuration import ClusterDefinition
from model.controller import Controller
from model.effects import Effect, Transmit
from model.events import Delivered, LinkUp, Submit
from model.job import SECOND, JobSpec
from model.scheduler import CONTROLLER, Scheduler
from model.superiors import SUPERIOR

IN_ONE_TURN = 1_000


class Server:
    """Scheduler and controller, with nothing between them."""

    def __init__(self, cluster: ClusterDefinition = ClusterDefinition(pending_max=1 << 40)) -> None:  # noqa: B008 - frozen
        self.now = SECOND
        self.scheduler = Scheduler(1, self.now, cluster, ())
        self.controller = Controller(1, self.now, cluster)
        self.controller.receive(LinkUp(SUPERIOR), self.now)
        self.scheduler.receive(LinkUp(CONTROLLER), self.now)
        self.speak()

    def speak(self) -> None:
        """Until both have said everything."""
        while True:
            down, up = self.scheduler.drain(), self.controller.drain()
            if not self._deliver(down, up):
                return

    def _deliver(self, down: list[Effect], up: list[Effect]) -> bool:
        said = False
        for effect in down:
            if type(effect) is Transmit and effect.peer == CONTROLLER:
                self.controller.receive(Delivered(SUPERIOR, effect.batch), self.now)
                said = True
        for effect in up:
            if type(effect) is Transmit and effect.peer == SUPERIOR:
                self.scheduler.receive(Delivered(CONTROLLER, effect.batch), self.now)
                said = True
        return said

    def submit(self, jobs: int, item: bool, *, in_command: bool = False) -> None:
        """So many wait from now on, equal ones or each with an item, which the command may hold."""
        for first in range(0, jobs, IN_ONE_TURN):
            for number in range(first, first + IN_ONE_TURN):
                name = f"incoming/{number:07}.fits" if item else None
                words = ("reduce", "--quick", name) if name and in_command else ("reduce", "--quick")
                spec = JobSpec("work", words, item=name, timeout_ns=SECOND, pending_ns=3600 * SECOND)
                self.scheduler.receive(Submit(0, spec), self.now)
            self.speak()
        self.now += 30 * SECOND  # what is said again when it was not answered would be by now
        self.scheduler.advance(self.now)
        self.controller.advance(self.now)
        self.speak()
        standing = self.scheduler.executors[CONTROLLER].standing
        assert self.controller.queued + standing == len(self.scheduler.jobs) == jobs
