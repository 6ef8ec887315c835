# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.hmm.pg_replication.plugins.filter import diagnose as diagnose_filter
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import (
    CONNECTION,
    CRITICAL,
    FAILOVER,
    LAG,
    LOGICAL,
    STANDBY,
    WARNING,
    Case,
    Finding,
    Rule,
    diagnose,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_rules import RULES
from tests.unit.diagnosis import NO_RECEIVER, PHYSICAL, known

NAMED = CONNECTION | STANDBY | LOGICAL | LAG | FAILOVER


def rule(cause: str, severity: str, *explains: str) -> Rule:
    def find(_case: Case) -> Iterator[Finding]:
        yield Finding(severity, "it", f"{cause}.", ("seen",), "do")

    return Rule(cause, find, frozenset(explains))


def judged(*rules: Rule) -> dict:
    return diagnose(Case(**known("physical")), rules)


def test_rules_have_names_of_their_own() -> None:
    causes = [one.cause for one in RULES]
    assert len(causes) == len(set(causes))
    assert set(causes) <= NAMED


def test_what_rules_explain_is_a_cause_and_no_circle() -> None:
    explains = {one.cause: one.explains for one in RULES}
    assert set().union(*explains.values()) <= NAMED

    def follow(cause: str, way: tuple[str, ...]) -> None:
        assert cause not in way, (*way, cause)
        for symptom in explains.get(cause, ()):
            follow(symptom, (*way, cause))

    for cause in explains:
        follow(cause, ())


def test_the_worst_comes_first_and_equals_in_their_order() -> None:
    found = judged(
        rule("one", WARNING), rule("two", CRITICAL), rule("three", CRITICAL), rule("four", WARNING)
    )
    assert found["causes"] == ["two", "three", "one", "four"]
    assert found["status"] == CRITICAL


def test_a_symptom_is_not_blamed() -> None:
    found = judged(rule("symptom", CRITICAL), rule("cause", WARNING, "symptom"))
    assert found["causes"] == ["cause"]
    assert found["status"] == WARNING
    assert [(one["cause"], one["by"]) for one in found["explained"]] == [("symptom", "cause")]


def test_a_symptom_of_a_symptom_follows_from_the_cause() -> None:
    found = judged(
        rule("last", CRITICAL),
        rule("middle", CRITICAL, "last"),
        rule("first", CRITICAL, "middle"),
    )
    assert found["causes"] == ["first"]
    assert {one["cause"]: one["by"] for one in found["explained"]} == {
        "middle": "first",
        "last": "first",
    }


def test_an_explanation_without_its_cause_explains_nothing() -> None:
    absent = Rule("cause", lambda _case: iter(()), frozenset({"symptom"}))
    assert judged(rule("symptom", CRITICAL), absent)["causes"] == ["symptom"]


def test_nothing_found_says_what_was_looked_at() -> None:
    found = judged()
    assert found["status"] == "ok"
    assert found["lines"][0] == "algeciras (physical): ok: replicates, 0 bytes behind"
    assert "  Nothing is wrong. What was looked at:" in found["lines"]
    assert any("203.0.113.10 port 5432" in line for line in found["lines"])


def test_what_cannot_be_seen_is_not_called_well() -> None:
    dark = {"shore": None, "shore_dark": "timed out", "probe": None, **_no_shore(NO_RECEIVER)}
    found = diagnose(Case(**known(PHYSICAL, dark)), ())
    assert found["status"] == "unknown"
    assert found["lines"][-1] == (
        "  not known: busan does not answer to Ansible, so that nothing is known from there: timed out"
    )


def _no_shore(changes: dict) -> dict:
    return {path: value for path, value in changes.items() if not path.startswith("shore.")}


def test_lines_tell_proof_and_next_command() -> None:
    found = judged(rule("cause", CRITICAL, "symptom"), rule("symptom", WARNING))
    assert found["lines"][1:] == [
        "  1. critical: cause (it)",
        "     cause.",
        "     proof: seen",
        "     next:  do",
        "  follows from cause: symptom (it)",
    ]


@pytest.mark.parametrize(
    ("until", "offset", "bounds"),
    [
        pytest.param(1000.0, 0.5, (-2.0, 0.5), id="a slow link is no slow clock"),
        pytest.param(1000.0, -90.0, (-2.0, -90.0), id="behind"),
    ],
)
def test_the_filter_bounds_the_clocks(
    until: float, offset: float, bounds: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        diagnose_filter._diagnosis, "diagnose", lambda case, _rules: seen.append(case.clocks)
    )
    facts = known("physical", {"shore.host": {"epoch": 998.0, "clock_offset": offset}})
    del facts["clocks"]
    diagnose_filter.diagnose({**facts, "until": {"shore": until}})
    assert seen == [{"shore": bounds}]
