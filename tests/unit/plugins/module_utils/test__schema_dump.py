# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is chosen of an archive, and how it is put together, without a server."""

from __future__ import annotations

from ansible_collections.hmm.pg_replication.plugins.module_utils._schema_dump import (
    Entry,
    Needed,
    chosen,
    if_new,
    objects_of,
    prologue,
    runs,
)
from tests.unit.render import render

CONTENTS = """\
;
; Archive created at 2026-11-22 20:00:00 UTC
;
215; 1247 16400 TYPE types status postgres
216; 1259 16385 TABLE public documents postgres
217; 1259 16390 TABLE public staff postgres
218; 0 0 SEQUENCE OWNED BY public documents_id_seq postgres
219; 0 0 SEQUENCE OWNED BY public staff_id_seq postgres
220; 2606 16500 FK CONSTRAINT public documents documents_owner_fkey postgres
"""
NEEDED = Needed(
    parts=frozenset({(1259, 16385)}),
    shared=frozenset({(1247, 16400)}),
    unnumbered=frozenset({"SEQUENCE OWNED BY public documents_id_seq postgres"}),
)
SCRIPT = """\
--
-- PostgreSQL database dump
--

\\restrict abc

SET transaction_timeout = 0;

--
-- Name: documents; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.documents (id bigint);


--
-- PostgreSQL database dump complete
--

\\unrestrict abc

"""


def test_what_is_needed_is_chosen_in_its_order() -> None:
    assert [(entry.line[:3], entry.shared) for entry in chosen(CONTENTS, NEEDED)] == [
        ("215", True),
        ("216", False),
        ("218", False),
    ]


def test_shared_objects_go_one_by_one() -> None:
    entries = [Entry("1", True), Entry("2", True), Entry("3", False), Entry("4", False)]
    assert list(runs(entries)) == [(True, ["1"]), (True, ["2"]), (False, ["3", "4"])]


def test_lines_for_psql_and_the_publishers_version_are_left_out() -> None:
    script = objects_of(SCRIPT)
    assert script.startswith("--\n-- Name: documents;")
    assert script.rstrip().endswith("CREATE TABLE public.documents (id bigint);")
    assert objects_of("\\restrict abc\nSET a = 1;\n") == ""


def test_an_object_that_is_there_is_passed_over_whatever_it_quotes() -> None:
    script = if_new("SELECT $sql0$x$sql0$, $block0$y$block0$;")
    assert script.startswith("DO $block1$BEGIN EXECUTE $sql1$SELECT")
    assert script.rstrip().endswith("END$block1$;")


def test_schemas_and_extensions_come_first() -> None:
    text = render(prologue(Needed(schemas=("app",), extensions=(("vector", "ext"),))))
    assert text.splitlines()[1:] == [
        'CREATE SCHEMA IF NOT EXISTS "app";',
        'CREATE SCHEMA IF NOT EXISTS "ext";',
        'CREATE EXTENSION IF NOT EXISTS "vector" WITH SCHEMA "ext";',
    ]
