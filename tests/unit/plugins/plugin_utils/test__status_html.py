# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page: whole, escaped, and with nothing to fetch. A browser opens it in the gate html."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet_report import joined
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._status_html import page, thinned
from tests.html.sample import report

_VOID = {"meta"}
# What would fetch something.
_FETCHING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}


class _Page(HTMLParser):
    """Tags that are closed in order, and what is in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str | None]:
        return [value for _tag, found, value in self.attributes if found == name]


def test_it_is_whole_and_fetches_nothing() -> None:
    text = page(report())
    found = _Page(text)
    assert not {name for _tag, name, _value in found.attributes} & _FETCHING
    assert not {tag for tag, _name, _value in found.attributes} & {"script", "link", "iframe"}
    assert not re.search(r"url\(|@import|https?:", text)
    (policy,) = [value for value in found.values("content") if "default-src" in (value or "")]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


def test_the_rows_are_the_ships_worst_first() -> None:
    found = _Page(page(report()))
    assert found.values("data-ship") == [ship["name"] for ship in report()["ships"]]
    assert found.values("data-severity")[0] == "critical"


def test_every_problem_is_there_with_what_to_do() -> None:
    texts = _Page(page(report())).texts
    for holder in [report()["shore"], *report()["ships"]]:
        for problem in holder["problems"]:
            assert problem["what"] in texts
            assert problem["do"] in texts


def test_what_is_written_by_others_is_text() -> None:
    evil = '<script src="http://x">&"\'</script>'
    found = report()
    found["shore"]["name"] = found["ships"][0]["name"] = evil
    found["ships"][0]["problems"] = [
        {"severity": "warning", "object": evil, "what": evil, "do": evil}
    ]
    read = _Page(page(found))
    assert not [tag for tag, _name, _value in read.attributes if tag == "script"]
    assert evil in read.values("data-ship")
    assert sum(evil in text for text in read.texts) >= 5


def test_a_chart_where_there_is_a_history() -> None:
    found: dict[str, Any] = report()
    assert page(found).count('role="img"') == 1 + len(set(found["history"]) - {"shore"})
    found["history"] = {}
    assert 'role="img"' not in page(found)


def test_a_shore_that_tells_nothing() -> None:
    shore = {"inventory_hostname": "busan", "fleet_dark": "timed out"}
    text = page(joined({}, [{"inventory_hostname": "oslo"}], shore, ["oslo"]))
    assert "does not answer: timed out." in text
    assert _Page(text).values("data-ship") == ["oslo"]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.0, 1.0)],
        [(float(moment), float(moment % 7)) for moment in range(160)],
    ],
)
def test_a_short_history_is_drawn_as_it_is(points: list[tuple[float, float]]) -> None:
    assert thinned(points) == points


def test_a_long_history_keeps_its_peaks() -> None:
    points = [(float(moment), 0.0) for moment in range(100_000)]
    points[54_321] = (54_321.0, 99.0)
    found = thinned(points)
    assert len(found) <= 161
    assert (54_321.0, 99.0) in found
