# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database whose search_path puts decoys before the server's own functions and catalogs.

Whoever may create objects there must not be able to have the modules, which run as a superuser most
of the time, call them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.lab.modules import Outcome, four_calls, run_module

SOURCES = Path(__file__).parents[2] / "plugins" / "module_utils"
WORDS = sorted(
    {word for path in SOURCES.glob("*.py") for word in re.findall(r"\w+", path.read_text())}
)

TRAPS = """
DO $do$
DECLARE one record;
BEGIN
  FOR one IN SELECT proname, pg_get_function_identity_arguments(oid) AS arguments,
                    pg_get_function_result(oid) AS result
               FROM pg_proc
              WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'
                AND proname = ANY (%s) AND provariadic = 0
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION decoy.%%I(%%s) RETURNS %%s LANGUAGE plpgsql'
                     ' AS $$BEGIN RAISE EXCEPTION ''hijacked''; END$$',
                     one.proname, one.arguments, one.result);
    EXCEPTION WHEN others THEN NULL;  -- types that plpgsql does not take
    END;
  END LOOP;
  FOR one IN SELECT relname FROM pg_class
              WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
                AND relname = ANY (%s)
  LOOP
    EXECUTE format('CREATE TABLE decoy.%%I (hijacked int)', one.relname);
  END LOOP;
END $do$
"""


@pytest.fixture
def trapped(database: Database) -> Iterator[Database]:
    database.sql("CREATE SCHEMA decoy")
    database.sql(TRAPS, params=(WORDS, WORDS))
    database.sql(
        "CREATE FUNCTION decoy.json_build_object(text, name, text, name) RETURNS json"
        " LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'hijacked'; END$$"
    )
    database.sql("CREATE TABLE decoy.logbook (id int, mood text, PRIMARY KEY (id, mood))")
    database.sql("CREATE TABLE public.logbook (id int PRIMARY KEY)")
    database.sql(f'ALTER DATABASE "{database.name}" SET search_path = decoy, pg_catalog, public')
    yield database
    database.server.sql(f'ALTER DATABASE "{database.name}" RESET search_path')


def done(module: str, database: Database, **options: Any) -> Outcome:
    return four_calls(module, **{**database.login, "ca_cert": database.server.ca_cert, **options})[
        1
    ]


def test_the_traps_work(trapped: Database) -> None:
    with pytest.raises(Exception, match="hijacked"):
        trapped.sql("SELECT pg_is_in_recovery()")
    with pytest.raises(Exception, match="slot_name"):
        trapped.sql("SELECT slot_name FROM pg_replication_slots")


def test_slots(trapped: Database) -> None:
    login = {"slot_type": "logical"}
    assert done("replication_slot", trapped, name=["a", "b"], **login).changed
    assert done("replication_slot", trapped, name=["a", "b"], state="absent", **login).changed


def test_publications(trapped: Database) -> None:
    made = done("publication", trapped, name="fleet", tables=["logbook"], comment="c")
    assert [table["name"] for table in made.result["publication"]["tables"]] == ["decoy.logbook"]
    if trapped.server.major >= 15:
        filtered = [{"name": "logbook", "where": "lower(mood) = 'calm' AND id + 1 > 2"}]
        changed = done("publication", trapped, name="fleet", tables=filtered)
        assert changed.result["publication"]["tables"] == [
            {
                "name": "decoy.logbook",
                "where": "((lower(mood) = 'calm'::text) AND ((id + 1) > 2))",
            }
        ]
    assert done("publication", trapped, name="fleet", state="absent").changed


def test_subscriptions(trapped: Database) -> None:
    asked = {"connection": {"host": "/nonexistent", "password": "sesame"}, "connect": False}
    asked["publications"] = ["fleet"]
    assert done("subscription", trapped, name="s", **asked).changed
    assert done("subscription", trapped, name="s", comment="c", synchronous_commit="on").changed
    assert done("subscription", trapped, name="s", slot_name="none").changed
    assert done("subscription", trapped, name="s", state="absent").changed


def test_facts(trapped: Database) -> None:
    login = {**trapped.login, "ca_cert": trapped.server.ca_cert}
    told = run_module("repl_lag_facts", sample_seconds=0.1, **login)
    assert not told.failed, told.msg
    assert told.result["ansible_facts"]["repl_lag"]["server"]["role"] == "primary"


def test_packs_and_copies(trapped: Database, tmp_path: Path) -> None:
    login = {**trapped.login, "ca_cert": trapped.server.ca_cert}
    trapped.sql(
        "CREATE SUBSCRIPTION s CONNECTION 'host=/nonexistent' PUBLICATION p WITH (connect = false)"
    )
    told = run_module("subscription_progress", name="s", **login)
    assert not told.failed, told.msg
    trapped.sql("INSERT INTO public.logbook VALUES (1)")
    told = run_module(
        "table_checksum", tables=[{"name": "logbook", "where": "id + 1 > 1"}], **login
    )
    assert not told.failed, told.msg
    assert told.result["tables"][0]["rows"] == 1
    told = run_module("base_backup", directory=str(tmp_path), bin_directory="/none", **login)
    assert "/none/pg_basebackup is not there" in told.msg
