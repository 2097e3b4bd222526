"""Goal: what is said by a script and what at a prompt end what they should: `quit` and `exit`, `shutdown`, the
`server` verbs. Method: scripts and prompts in the small world of `script_world.py`; looked at is what the driver is
asked (`Leave`) and answered (`SessionRan`).
"""

from __future__ import annotations

import pytest

from model.scripting import Leave, Stream
from tests.language.script_world import ScriptWorld


@pytest.fixture
def world() -> ScriptWorld:
    made = ScriptWorld("echo ready\n", files={"/home/user/more.pro": "echo from file\n"})
    made.open(4)
    return made


def shown(world: ScriptWorld, session: int) -> str:
    return world.shown.get((session, Stream.OUT), "")


@pytest.mark.parametrize("word", ["quit", "exit"])
def test_a_script_that_quits_ends_the_program_with_its_status(word: str) -> None:
    world = ScriptWorld(f"{word} 3\necho never\n")
    assert world.left == [Leave(3)]
    assert world.out == ""
    assert world.ran[-1].status == 3


def test_a_task_that_quits_ends_the_program_and_makes_no_job() -> None:
    world = ScriptWorld("macro leave\n  quit 5\nend\ntask t\n  task.exec\n    leave\n    command w\n  end\nend\nrun\n")
    world.run(0.5)
    assert world.left[0] == Leave(5)
    assert world.specs == []


def test_a_prompt_that_quits_ends_itself_only(world: ScriptWorld) -> None:
    world.say("quit 2; echo never", session=4)
    assert world.left == []
    assert (world.ran[-1].session, world.ran[-1].status) == (4, 2)
    assert shown(world, 4) == ""


@pytest.mark.parametrize("word", ["quit now", "exit 256", "quit -1", "quit 1 2"])
def test_a_wrong_status_is_refused_and_nothing_ends(world: ScriptWorld, word: str) -> None:
    world.say(word, session=4)
    assert (world.left, world.ran[-1].ok, world.ran[-1].status) == ([], False, None)


@pytest.mark.parametrize(
    ("said", "leave"),
    [
        ("shutdown", Leave(0)),
        ("shutdown -kill", Leave(0, True)),
        ("server quit 4", Leave(4)),
        ("server exit", Leave(0)),
    ],
)
def test_a_prompt_can_end_the_program(world: ScriptWorld, said: str, leave: Leave) -> None:
    world.say(said, session=4)
    assert world.left == [leave]


def test_server_verbs_are_the_plain_commands(world: ScriptWorld) -> None:
    world.say("server input more.pro\nserver run\nserver pwd\nserver stop", session=4)
    assert shown(world, 4).startswith("from file\n/home/user\n")
    assert world.scheduler.orders.stopped.startswith("intake stopped")


@pytest.mark.parametrize("said", ["server", "server nothing", "server input missing.pro", "connect", "disconnect"])
def test_what_the_server_cannot_do_fails_with_a_sentence(world: ScriptWorld, said: str) -> None:
    world.say(said, session=4)
    assert not world.ran[-1].ok
    assert world.shown[(4, Stream.ERROR)].strip()


def test_answers_go_to_the_prompt_that_asked(world: ScriptWorld) -> None:
    world.say("status", session=4)
    assert shown(world, 4).startswith("Scheduler is")
    assert world.out == "ready\n"


def test_a_break_that_ends_a_file_names_its_place_and_at_a_prompt_says_nothing() -> None:
    world = ScriptWorld("macro guard\n  break\nend\nguard\necho never")
    assert (world.out, world.errors) == ("", "pipeline.pro:2:3: `break` ended the script\n")
    world.open(5)
    world.say("guard", session=5)
    assert world.shown.get((5, Stream.ERROR), "") == ""
