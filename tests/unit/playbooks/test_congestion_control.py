# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the shore is told of congestion control: BBR for a known link, unless the operator chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

VARIABLES = Path(__file__).parents[3] / "playbooks" / "vars" / "fleet.yml"
LINK = {"ship_link": {"bandwidth": "4Mbit", "latency": "600ms"}}
CHOSEN = "primary_congestion_control"


@pytest.mark.parametrize(
    ("shore", "prepared", "wanted"),
    [
        pytest.param({}, [], "", id="no ship"),
        pytest.param({}, [{}], "", id="nothing known of the link"),
        pytest.param({}, [{}, LINK], "bbr", id="one link known"),
        pytest.param({CHOSEN: ""}, [LINK], "", id="left alone on purpose"),
        pytest.param({CHOSEN: "cubic"}, [LINK], "cubic", id="another one"),
        pytest.param({CHOSEN: "bbr"}, [{}], "bbr", id="without any link"),
    ],
)
def test_bbr_follows_from_a_link(
    shore: dict[str, Any], prepared: list[dict[str, Any]], wanted: str
) -> None:
    template = yaml.safe_load(VARIABLES.read_text("utf-8"))["fleet__congestion_control"]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    context = {"fleet__shore": shore, "fleet__prepared": prepared}
    assert environment.from_string(template).render(context).strip() == wanted
