# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page in a browser: its rows, narrow and wide, and that it asks for nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._status_html import page
from tests.html.browser import Browser
from tests.html.sample import report

OUTSIDE = "http://outside.invalid/picture.png"
PHONE, SCREEN = 360, 1280


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "fleet_status.html"
    path.write_text(page(report()), "utf-8")
    return path


def test_its_rows(browser: Browser, file: Path) -> None:
    dom = browser.open(file).dom
    rows = re.findall(r'<tbody class="ship" data-ship="([^"]+)" data-severity="([^"]+)">', dom)
    assert rows == [(ship["name"], ship["severity"]) for ship in report()["ships"]]
    assert [severity for _name, severity in rows[:2]] == ["critical", "critical"]


@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_narrow_and_wide(browser: Browser, file: Path, width: int) -> None:
    measured: dict[str, Any] = browser.measure(file, width)
    assert measured["width"] == width, "it has to be scrolled sideways"
    assert measured["styled"] == "collapse", "the style was refused"
    wanted = report()
    ships = measured["ships"]
    assert [ship["name"] for ship in ships] == [ship["name"] for ship in wanted["ships"]]
    tops = [ship["top"] for ship in ships]
    assert tops == sorted(tops)
    for shown, ship in zip(ships, wanted["ships"]):
        assert shown["state"].endswith(ship["state"])
        assert shown["charts"] == (1 if ship["name"] in wanted["history"] else 0)
    for holder in [wanted["shore"], *wanted["ships"]]:
        for problem in holder["problems"]:
            assert problem["what"] in measured["text"]
            assert problem["do"] in measured["text"]
    narrow = width == PHONE
    # A phone has the columns' heads beside the figures, and leaves out what is unknown.
    assert (measured["head"] <= 1) == narrow
    assert {ship["label"] for ship in ships} == ({'"State"'} if narrow else {"none"})
    assert (min(ship["cells"] for ship in ships) < 7) == narrow


def test_it_asks_for_nothing(browser: Browser, file: Path) -> None:
    assert [address for address in browser.open(file).asked if address != file.as_uri()] == []


@pytest.mark.parametrize("guarded", [True, False])
def test_what_got_in_would_not_be_fetched(browser: Browser, file: Path, guarded: bool) -> None:
    """The page's policy keeps the browser from it; without, the browser would have asked."""
    text = file.read_text("utf-8").replace("</body>", f'<img src="{OUTSIDE}"></body>')
    if not guarded:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    other = file.with_name(f"guarded_{guarded}.html")
    other.write_text(text, "utf-8")
    assert (OUTSIDE in browser.open(other).asked) == (not guarded)
