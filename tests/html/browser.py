# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headless Chromium, of which nothing is kept: what it shows of a page, and what the page asks for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_QUIET = (
    "--headless",
    "--no-sandbox",  # root's containers have no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # Nothing is to be reached, whoever asks.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=direct://",
    # A page that measures another has to see into it.
    "--allow-file-access-from-files",
)
_SECONDS = 90

# Shows a page as wide as a phone or a screen, and notes what can be measured only there.
_MEASURE = """\
<!DOCTYPE html><html><body><iframe src="{page}" width="{width}" height="12000"></iframe>
<pre id="measured"></pre><script>
document.querySelector('iframe').addEventListener('load', event => {{
  const page = event.target.contentDocument, view = event.target.contentWindow;
  const shown = element => element.getClientRects().length > 0;
  document.getElementById('measured').textContent = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    styled: view.getComputedStyle(page.querySelector('table')).borderCollapse,
    head: page.querySelector('thead').getBoundingClientRect().height,
    ships: [...page.querySelectorAll('tbody.ship')].map(ship => ({{
      name: ship.dataset.ship,
      severity: ship.dataset.severity,
      top: Math.round(ship.getBoundingClientRect().top),
      state: ship.querySelector('.badge').innerText.trim(),
      cells: [...ship.querySelectorAll('td[data-label]')].filter(shown).length,
      label: view.getComputedStyle(ship.querySelector('td'), '::before').content,
      charts: ship.querySelectorAll('svg.chart').length,
    }})),
    text: page.body.innerText,
  }});
}});
</script></body></html>
"""


@dataclass(frozen=True)
class Seen:
    """What came of opening a page.

    :param asked: the addresses that it asked for, itself included.
    """

    dom: str
    asked: list[str]


class Browser:
    """Opens files; its own are in a folder that the caller throws away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, page: Path, *more: str) -> Seen:
        """Load a page to its end."""
        log = self._folder / "net.json"
        done = subprocess.run(
            [
                "chromium",
                *_QUIET,
                f"--user-data-dir={self._folder / 'profile'}",
                f"--log-net-log={log}",
                "--dump-dom",
                *more,
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return Seen(done.stdout, list(_asked(log.read_text("utf-8"))))

    def measure(self, page: Path, width: int) -> dict[str, object]:
        """What a page is like in a window so wide."""
        frame = self._folder / "frame.html"
        frame.write_text(_MEASURE.format(page=page.as_uri(), width=width), "utf-8")
        dom = self.open(frame, "--window-size=1600,2200").dom
        text = dom.partition('<pre id="measured">')[2].partition("</pre>")[0]
        for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            text = text.replace(entity, letter)
        measured: dict[str, object] = json.loads(text)
        return measured

    def picture(self, page: Path, target: Path, width: int, height: int, *more: str) -> None:
        """A picture of a page."""
        self.open(page, f"--screenshot={target}", f"--window-size={width},{height}", *more)


def _asked(text: str) -> Iterator[str]:
    """What pages asked for, by the browser's log; what the browser itself asks for has no origin."""
    try:
        log = json.loads(text)
    except ValueError:  # it was ended while it wrote the last line
        log = json.loads(text.rstrip().rstrip(",") + "]}")
    starts = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    for event in log["events"]:
        found = event.get("params", {})
        # An event without an address is the end of one that had it.
        if event["type"] == starts and found.get("initiator", "not an origin") != "not an origin":
            yield str(found["url"])
