# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is shown and when it ends; the world is a list of looks, one every five seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.action import follow_progress as action
from ansible_collections.hmm.pg_replication.plugins.action.follow_progress import Follower
from ansible_collections.hmm.pg_replication.plugins.modules.follow_progress import look

OPTIONS = {
    "path": "/seed/status.json",
    "interval": 5.0,
    "timeout": 0.0,
    "stale_timeout": 300.0,
    "unreachable_timeout": 60.0,
}


class World:
    """A clock that only pauses move, and lines that were shown."""

    def __init__(self, *looks: Any, **options: Any) -> None:
        self.looks = list(looks)
        self.now = 0.0
        self.lines: list[str] = []
        self.follower = Follower(
            "s", {**OPTIONS, **options}, self.lines.append, lambda: self.now, self.pause
        )

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def look(self) -> dict[str, Any]:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, dict)
        return found

    def follow(self) -> dict[str, Any]:
        return self.follower.follow(self.look)


def at(state: str, done: int = 0, age: float | None = 1.0, message: str = "") -> dict[str, Any]:
    return {
        "progress": {
            "step": "fetch",
            "state": state,
            "done_bytes": done,
            "total_bytes": 100,
            "message": message,
        },
        "age": age,
    }


NOTHING: dict[str, Any] = {"progress": None, "age": None}
DARK = ConnectionError("ssh: timed out")


def test_until_done_and_only_what_changed() -> None:
    world = World(at("running", 10), at("running", 10), at("running", 50), at("done", 100))
    assert "failed" not in world.follow()
    assert world.lines == [
        "s: fetch 10 of 100 B, 10 %",
        "s: fetch 50 of 100 B, 50 %",
        "s: fetch 100 of 100 B, 100 %",
    ]
    assert world.now == 15


def test_the_works_own_sentence() -> None:
    result = World(at("running"), at("failed", message="The disk is full.")).follow()
    assert (result["failed"], result["msg"]) == (True, "The disk is full.")
    assert result["progress"]["step"] == "fetch"


def test_a_dark_ship_is_waited_for() -> None:
    world = World(at("running", 10), DARK, DARK, at("running", 60), at("done", 100))
    assert "failed" not in world.follow()
    assert world.lines[1] == "s: out of reach; it goes on by itself"
    assert len(world.lines) == 4


def test_a_ship_dark_for_too_long() -> None:
    result = World(at("running"), DARK).follow()
    assert result["msg"] == (
        "s has been out of reach for 2 min. It goes on by itself: run the playbook again when it is"
        " back. (ssh: timed out)"
    )


def test_work_that_was_killed() -> None:
    result = World(at("running", 10, age=301)).follow()
    assert result["msg"].startswith("For 6 min, nothing more was told than: fetch.")
    assert "/seed/status.json" in result["msg"]


def test_age_does_not_matter_at_the_end() -> None:
    assert "failed" not in World(at("done", age=10_000)).follow()


def test_a_file_that_never_appears() -> None:
    world = World(NOTHING)
    assert world.follow()["msg"].startswith("For 5 min, nothing is told of the work.")
    assert world.now == 300


def test_a_file_that_is_late() -> None:
    assert "failed" not in World(NOTHING, NOTHING, at("done")).follow()


def test_a_file_that_is_being_rewritten() -> None:
    assert "failed" not in World({"progress": None, "age": 0.1}, at("done")).follow()


def test_without_end() -> None:
    world = World(*[at("running", age=10_000)] * 1000, at("done"), stale_timeout=0.0)
    assert "failed" not in world.follow()


def test_timeout() -> None:
    result = World(at("running"), timeout=20.0).follow()
    assert result["msg"].startswith("s is not done after 20 s. It goes on by itself")


def test_a_look_that_fails_for_good() -> None:
    world = World({"failed": True, "msg": "/x cannot be read: Permission denied."})
    assert world.follow() == {"failed": True, "msg": "/x cannot be read: Permission denied."}


@pytest.mark.parametrize("name", ["path", "interval", "timeout", "stale_timeout", "unreachable_timeout"])  # fmt: skip
def test_the_action_knows_the_modules_options(name: str) -> None:
    assert name in action._SPEC


def test_module_looks(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert look(path) == (None, None)
    path.write_text('{"step": "fe')
    content, age = look(path)
    assert content is None
    assert age is not None
    path.write_text('{"step": "fetch"}')
    assert look(path)[0] == {"step": "fetch"}
    path.write_text("[]")
    assert look(path)[0] is None
