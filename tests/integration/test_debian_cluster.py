# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules server_settings and hba_blocks on a cluster of postgresql-common."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.debian import OWNER, DebianCluster, debian_cluster, reason_against
from tests.lab.modules import Outcome, four_calls, run_module

pytestmark = pytest.mark.xdist_group("debian")


@pytest.fixture(scope="module")
def made() -> Iterator[DebianCluster]:
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    with debian_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(made: DebianCluster) -> Iterator[DebianCluster]:
    """The same for all tests, its files as they were, its server up."""
    files = {path: path.read_text() for path in (made.hba, made.folder / "postgresql.conf")}
    yield made
    for path, text in files.items():
        path.write_text(text)
    for path in (made.folder / "conf.d").iterdir():
        path.unlink()
    if made.running():
        made.sql("ALTER SYSTEM RESET ALL")
        made.reload()
    else:
        made.control("start")


def settings(cluster: DebianCluster, **other: Any) -> dict[str, Any]:
    return {**cluster.options, "name": "test", **other}


def drop_in(cluster: DebianCluster) -> Path:
    return cluster.folder / "conf.d" / "50-pg_replication-test.conf"


def refused(name: str, /, **options: Any) -> list[Outcome]:
    """In check mode and in a real run, both without a traceback."""
    calls = [run_module(name, check_mode=check, **options) for check in (True, False)]
    for call in calls:
        assert call.failed, call.result
        assert "Traceback" not in call.raw
    return calls


# --- server_settings -------------------------------------------------------------------------------


def test_settings_take_effect_once(cluster: DebianCluster) -> None:
    wanted = {"work_mem": "7MB", "log_line_prefix": "it's %m ", "listen_addresses": None}
    check, real, _check, _real = four_calls("server_settings", **settings(cluster, settings=wanted))
    assert real.changed
    assert real.result["reloaded"]
    assert not real.result["restarted"]
    assert {key: real.result[key] for key in ("running", "restart_needed", "overridden")} == {
        key: check.result[key] for key in ("running", "restart_needed", "overridden")
    }
    assert cluster.sql("SHOW work_mem") == ["7MB"]
    assert cluster.sql("SHOW log_line_prefix") == ["it's %m "]
    assert real.diff["after"] == drop_in(cluster).read_text()
    status = drop_in(cluster).stat()
    assert pwd.getpwuid(status.st_uid).pw_name == OWNER
    assert status.st_mode & 0o007 == 0


def test_no_settings_is_no_file(cluster: DebianCluster) -> None:
    run_module("server_settings", **settings(cluster, settings={"work_mem": "7MB"}))
    assert drop_in(cluster).exists()
    _check, real, *_again = four_calls("server_settings", **settings(cluster, settings={}))
    assert real.changed
    assert not drop_in(cluster).exists()
    assert cluster.sql("SHOW work_mem") == ["4MB"]


def test_a_restart_is_made_only_where_it_may_be(cluster: DebianCluster) -> None:
    options = settings(cluster, settings={"max_connections": 37})
    started = cluster.sql("SELECT pg_postmaster_start_time()")
    _check, waiting, *_again = four_calls("server_settings", **options, restart=False)
    assert waiting.result["restart_needed"] == ["max_connections"]
    assert not waiting.result["restarted"]
    assert "These settings take effect at the next restart: max_connections." in waiting.raw
    assert waiting.result["overridden"] == {}
    assert cluster.sql("SELECT pg_postmaster_start_time()") == started
    assert cluster.sql("SHOW max_connections") == ["100"]

    _check, restarted, *_again = four_calls("server_settings", **options)
    assert restarted.result["restarted"]
    assert cluster.sql("SHOW max_connections") == ["37"]


def test_what_the_server_refuses_is_not_written(cluster: DebianCluster) -> None:
    run_module("server_settings", **settings(cluster, settings={"work_mem": "7MB"}))
    before = drop_in(cluster).read_text()
    for call in refused(
        "server_settings", **settings(cluster, settings={"work_mem": "much", "fsync": True})
    ):
        assert call.msg.startswith("PostgreSQL refuses these settings: ")
        assert 'invalid value for parameter "work_mem": "much"' in call.msg
        assert call.msg.endswith("Nothing was changed.")
    assert drop_in(cluster).read_text() == before
    assert cluster.sql("SHOW work_mem") == ["7MB"]


def test_a_server_that_does_not_start_with_them_gets_the_former_ones(
    cluster: DebianCluster,
) -> None:
    run_module("server_settings", **settings(cluster, settings={"work_mem": "7MB"}))
    before = drop_in(cluster).read_text()
    # No program foresees that there is not so much memory.
    outcome = run_module(
        "server_settings", **settings(cluster, settings={"shared_buffers": "8000GB"})
    )
    assert outcome.failed
    assert "could not map anonymous shared memory" in outcome.msg
    assert outcome.msg.endswith("The former settings were put back, and the server runs with them.")
    assert drop_in(cluster).read_text() == before
    assert cluster.sql("SHOW work_mem") == ["7MB"]


def test_a_setting_that_another_place_wins_is_told(cluster: DebianCluster) -> None:
    cluster.sql("ALTER SYSTEM SET work_mem = '9MB'")
    cluster.reload()
    outcome = run_module("server_settings", **settings(cluster, settings={"work_mem": "7MB"}))
    place = outcome.result["overridden"]["work_mem"]
    assert place.endswith("/postgresql.auto.conf")
    assert f"work_mem is set in {place} too, and that wins: remove it there." in outcome.raw
    assert cluster.sql("SHOW work_mem") == ["9MB"]


def test_a_server_that_is_down_stays_down(cluster: DebianCluster) -> None:
    cluster.control("stop")
    options = settings(cluster, settings={"work_mem": "7MB"})
    _check, real, *_again = four_calls("server_settings", **options)
    assert real.changed
    assert not real.result["running"]
    assert not real.result["reloaded"]
    assert not cluster.running()
    cluster.control("start")
    assert cluster.sql("SHOW work_mem") == ["7MB"]


def test_a_file_that_the_server_has_not_read_is_read(cluster: DebianCluster) -> None:
    options = settings(cluster, settings={"work_mem": "7MB"})
    run_module("server_settings", **options)
    # As a run that was interrupted between the two leaves it.
    text = drop_in(cluster).read_text().replace("7MB", "8MB")
    drop_in(cluster).write_text(text)
    options = settings(cluster, settings={"work_mem": "8MB"})
    _check, real, *_again = four_calls("server_settings", **options)
    assert real.result["reloaded"]
    assert cluster.sql("SHOW work_mem") == ["8MB"]


@pytest.mark.parametrize("module", ["server_settings", "hba_blocks"])
def test_a_cluster_that_is_not_there_is_named(made: DebianCluster, module: str) -> None:
    own = {"server_settings": {"name": "x", "settings": {}}, "hba_blocks": {"blocks": []}}
    for call in refused(module, version=made.version, cluster="nowhere", **own[module]):
        assert call.msg == (
            f"There is no cluster {made.version}/nowhere on this host: see pg_lsclusters, or make it with the role"
            " postgres."
        )


# --- hba_blocks ------------------------------------------------------------------------------------


def rule(user: str, **other: Any) -> dict[str, Any]:
    return {
        "type": "host",
        "databases": ["replication"],
        "users": [user],
        "addresses": ["198.51.100.21"],
        **other,
    }


def blocks(cluster: DebianCluster, **named: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Blocks with these rules; None: absent."""
    entries = [
        {"name": name, "state": "absent"} if rules is None else {"name": name, "rules": rules}
        for name, rules in named.items()
    ]
    return {**cluster.options, "blocks": entries}


def first_rules(cluster: DebianCluster, count: int) -> list[str]:
    return cluster.sql(
        "SELECT type, array_to_string(user_name, ','), address, auth_method FROM pg_hba_file_rules"
        f" ORDER BY line_number LIMIT {count}"
    )


def test_blocks_stand_first_and_leave_the_rest_alone(cluster: DebianCluster) -> None:
    own = cluster.hba.read_text()
    reject = rule("ship_a", databases=["all", "replication"], addresses=["all"], method="reject")
    _check, real, *_again = four_calls(
        "hba_blocks",
        **blocks(
            cluster,
            ship_a=[rule("ship_a", addresses=["198.51.100.21", "2001:db8::/64"]), reject],
            ship_b=[rule("Ship B", databases=["a b"])],
        ),
    )
    assert real.result["reloaded"]
    assert first_rules(cluster, 4) == [
        "host|ship_a|198.51.100.21|scram-sha-256",
        "host|ship_a|2001:db8::|scram-sha-256",
        "host|ship_a|all|reject",
        "host|Ship B|198.51.100.21|scram-sha-256",
    ]
    assert real.diff["before"] == own
    assert real.diff["after"] == cluster.hba.read_text()
    assert real.diff["after"].endswith(own)
    status = cluster.hba.stat()
    assert pwd.getpwuid(status.st_uid).pw_name == OWNER
    assert status.st_mode & 0o007 == 0

    _check, gone, *_again = four_calls("hba_blocks", **blocks(cluster, ship_a=None))
    assert gone.changed
    assert first_rules(cluster, 1) == ["host|Ship B|198.51.100.21|scram-sha-256"]
    four_calls("hba_blocks", **blocks(cluster, ship_b=None, ship_c=None))
    assert cluster.hba.read_text() == own


def test_a_rule_that_another_admits_by_does_not_admit(cluster: DebianCluster) -> None:
    """The server has really read it: who may log in by a line below is refused by the block."""
    cluster.sql("CREATE ROLE ship_d LOGIN")
    cluster.hba.write_text("host all ship_d 127.0.0.1/32 trust\n" + cluster.hba.read_text())
    cluster.reload()

    def comes_in() -> bool:
        query = f"host=127.0.0.1 port={cluster.port} user=ship_d dbname=postgres sslmode=disable"
        return os.system(f'psql -Xqc "SELECT 1" "{query}" >/dev/null 2>&1') == 0  # noqa: S605

    assert comes_in()
    reject = rule("ship_d", databases=["all"], addresses=["all"], method="reject")
    run_module("hba_blocks", **blocks(cluster, ship_d=[reject]))
    assert not comes_in()
    run_module("hba_blocks", **blocks(cluster, ship_d=None))
    assert comes_in()
    cluster.sql("DROP ROLE ship_d")


def test_an_error_in_another_line_is_told_and_the_file_put_back(cluster: DebianCluster) -> None:
    text = cluster.hba.read_text() + "nonsense all all\n"
    cluster.hba.write_text(text)
    outcome = run_module("hba_blocks", **blocks(cluster, ship_a=[rule("ship_a")]))
    assert outcome.failed
    number = len(text.splitlines()) + 3
    assert outcome.msg == (
        f"pg_hba.conf, line {number} (a line that is not this module's: correct it first): invalid connection type"
        ' "nonsense". The former pg_hba.conf was put back.'
    )
    assert cluster.hba.read_text() == text


def test_tls_that_is_off_is_told(cluster: DebianCluster) -> None:
    before = cluster.hba.read_text()
    outcome = run_module("hba_blocks", **blocks(cluster, ship_a=[rule("ship_a", type="hostssl")]))
    assert outcome.failed
    assert "line 2 (block ship_a)" in outcome.msg
    assert "turn ssl on first (role tls)" in outcome.msg
    assert cluster.hba.read_text() == before


def test_blocks_of_a_server_that_is_down(cluster: DebianCluster) -> None:
    cluster.control("stop")
    _check, real, *_again = four_calls("hba_blocks", **blocks(cluster, ship_a=[rule("ship_a")]))
    assert real.changed
    assert not real.result["reloaded"]
    assert not cluster.running()
    cluster.control("start")
    assert first_rules(cluster, 1) == ["host|ship_a|198.51.100.21|scram-sha-256"]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"addresses": ["198.51.100.21/24"]}, "has host bits set; write an address, or a network"),
        ({"type": "local"}, "blocks[0].rules[0].addresses: a local rule has none."),
        ({"users": ['a"b']}, "cannot stand in pg_hba.conf."),
    ],
)
def test_rules_that_cannot_be_are_refused(
    cluster: DebianCluster, entry: dict[str, Any], sentence: str
) -> None:
    before = cluster.hba.read_text()
    for call in refused("hba_blocks", **blocks(cluster, ship_a=[rule("ship_a", **entry)])):
        assert sentence in call.msg
    assert cluster.hba.read_text() == before
