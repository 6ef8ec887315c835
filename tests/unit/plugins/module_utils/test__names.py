# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    Lsn,
    TableName,
    check_expression,
    check_identifier,
    check_slot_name,
    check_text,
    parse_table_name,
    unique,
)
from tests.unit.postgres_lexer import SETTINGS, leaves

NAMES = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1).filter(
    lambda name: len(name.encode()) <= 63
)


QUOTE = "an unclosed quote, or a backslash in one that is not E'',"


def message(raised: pytest.ExceptionInfo[ReplicationError]) -> str:
    return raised.value.message


# --- table names ---------------------------------------------------------------------------------


@given(st.builds(TableName, st.none() | NAMES, NAMES))
@example(TableName("a.b", 'c"d'))
@example(TableName(None, '"'))
@example(TableName(None, "."))
def test_a_table_name_survives_its_own_text(name: TableName) -> None:
    assert parse_table_name("tables", str(name)) == name


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("documents", None, "documents"),
        ("public.documents", "public", "documents"),
        ("MySchema.My-Table", "MySchema", "My-Table"),
        ('"a.b"', None, "a.b"),
        ('"a.b".c', "a.b", "c"),
        ('a."b""c"', "a", 'b"c'),
        ("docs; DROP TABLE users", None, "docs; DROP TABLE users"),
        (" a", None, " a"),
    ],
)
def test_table_names(text: str, schema: str | None, name: str) -> None:
    assert parse_table_name("tables", text) == TableName(schema, name)


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "a.b.c", '"a', 'a"', '"a"b', 'a."b"c', '"a"."b"."c"', '"a".'],
)
def test_what_is_no_table_name(text: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        parse_table_name("tables", text)
    assert message(raised).startswith(f"tables: {text!r} is not a table name: ")


def test_an_empty_part_is_no_name() -> None:
    with pytest.raises(ReplicationError) as raised:
        parse_table_name("tables", '"".a')
    assert message(raised) == "tables: a name cannot be empty."


# --- names ---------------------------------------------------------------------------------------


def test_a_name_is_as_long_as_63_bytes() -> None:
    assert check_identifier("name", "x" * 63) == "x" * 63
    assert check_identifier("name", "선" * 21) == "선" * 21


@pytest.mark.parametrize("name", ["x" * 64, "선" * 22])
def test_a_longer_name_would_be_cut(name: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        check_identifier("name", name)
    assert message(raised) == (
        f"name: {name!r} is longer than 63 bytes, and PostgreSQL would cut it."
    )


@pytest.mark.parametrize("name", ["a", "0", "_", "ship_oslo_2", "x" * 63])
def test_slot_names(name: str) -> None:
    assert check_slot_name("name", name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "a-b", "a b", "a\n", "é", "x" * 64, "a'", 'a"', "a;b", "a.b", "\x00", "٣"]
)
def test_what_is_no_slot_name(name: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        check_slot_name("name", name)
    assert message(raised) == (
        f"name: {name!r} is not a replication slot name: lower-case letters, digits and"
        " underscores, 1 to 63 of them."
    )


def test_unique_keeps_the_order() -> None:
    assert unique(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]


# --- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a\x00b", "x: a NUL character is not possible in PostgreSQL."),
        ("\ud800", "x: not valid Unicode text."),
        (["a", "b\x00"], "x[1]: a NUL character is not possible in PostgreSQL."),
        ({"k": ["\x00"]}, "x.k[0]: a NUL character is not possible in PostgreSQL."),
        ({"\x00": 1}, "x (a key): a NUL character is not possible in PostgreSQL."),
        (("\ud800",), "x[0]: not valid Unicode text."),
    ],
)
def test_text_that_postgresql_cannot_hold(value: object, told: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        check_text("x", value)
    assert message(raised) == told


def test_text_that_it_can_hold() -> None:
    check_text("x", {"a": ["선박", "\n", "😀", 1, None, True]})


# --- log sequence numbers ------------------------------------------------------------------------


@given(st.integers(0, 2**64 - 1))
def test_an_lsn_survives_its_own_text(number: int) -> None:
    assert Lsn.parse("lsn", str(Lsn(number))) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0/0", 0),
        ("16/B374D848", (0x16 << 32) + 0xB374D848),
        ("16/b374d848", (0x16 << 32) + 0xB374D848),
        (" 0/1\n", 1),
        ("FFFFFFFF/FFFFFFFF", 2**64 - 1),
    ],
)
def test_lsns(text: str, number: int) -> None:
    lsn = Lsn.parse("lsn", text)
    assert lsn == number
    assert f"{lsn}" == str(lsn) == text.strip().upper()


@pytest.mark.parametrize(
    "text", ["", "0", "0/", "/0", "0/0/0", "G/0", "000000000/0", "0/-1", "0x1/0", "٣/0", "0/0; x"]
)
def test_what_is_no_lsn(text: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        Lsn.parse("advance_to", text)
    assert message(raised) == f"advance_to: {text!r} is not an LSN, which looks like 16/B374D848."


def test_lsns_compare_as_numbers() -> None:
    assert Lsn.parse("a", "9/0") < Lsn.parse("b", "10/0")


# --- expressions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "id > 0",
        "name = 'O''Neill'",
        r"name ~ E'\\d\'\)'",
        "((a) AND (b OR (c)))",
        "name <> ');--' AND id IN (1, 2)",
        '"odd;col" = 1',
        '"a""b" = 1',
        "name = '' AND note = E''",
        "-1 < a AND a*b/c < 2",
        "tags = ARRAY['a', 'b']",
        "선박 = '부산'",
        "a = 'x'\n AND b = 'y'",
        "note = '$$;--/*'",
        "a::text = 'b' AND e = 'c'",
    ],
)
def test_expressions(text: str) -> None:
    assert check_expression("where", text) == text
    assert not any(leaves(text, *setting) for setting in SETTINGS)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("true); DROP TABLE users; --", "an unbalanced parenthesis"),
        ("(true", "an unbalanced parenthesis"),
        (")(", "an unbalanced parenthesis"),
        ("a = 1; SELECT 1", "a semicolon"),
        ("a = $$x$$", "a dollar sign outside quotes"),
        ("a = $1", "a dollar sign outside quotes"),
        ("a -- b", "a comment"),
        ("a /* b */", "a comment"),
        ("a = 'b", QUOTE),
        ("a = '\\' OR true) --'", QUOTE),
        ('"a', "an unclosed quote"),
        ("a \\ b", "a backslash outside E''"),
        # A number and an escape string to servers before 15, nothing to later ones.
        ("a = 1E'\\') --'", QUOTE),
        # A name and a plain string to every server.
        ("—E'\\') ; DROP TABLE users; --'", QUOTE),
        ("\u00a0E'\\') ; DROP TABLE users; --'", QUOTE),
        ("aE'\\') ; DROP TABLE users; --'", QUOTE),
    ],
)
def test_what_could_leave_its_parenthesis(text: str, what: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        check_expression("where", text)
    assert message(raised) == f"where: {what} is not possible in {text!r}."


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_expression(text: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        check_expression("where", text)
    assert message(raised) == "where: the filter is empty; leave the option out for no filter."


def accepted(text: str) -> bool:
    try:
        check_expression("where", text)
    except ReplicationError:
        return False
    return True


PIECES = (
    *("'", "\\", '"', "E'", "E", "U&'", "B'", "$", "$a$", "--", "/*", "*/", "\n", "(", ")", ";"),
    *("1", ".", "a", "—", " ", "é", "0x", "N", "\\'", "''", "_", "&", "\r", ",", "x'"),
)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), min_size=4, max_size=12).map("".join))
def test_nothing_accepted_leaves_its_parenthesis(text: str) -> None:
    if accepted(text):
        assert not any(leaves(text, *setting) for setting in SETTINGS)


def test_no_short_text_leaves_its_parenthesis() -> None:
    pieces = ("'", "\\'", "E'", "e", "—", "1.", '"', "$", "-", "/*", "\n", ")", " ", "B'")
    texts = map("".join, itertools.product(pieces, repeat=4))
    passed = [text for text in texts if accepted(text)]
    assert len(passed) > 100
    escaped = [(t, s) for t in passed for s in SETTINGS if leaves(t, *s)]
    assert escaped == []


@pytest.mark.parametrize(
    ("text", "standard_strings", "major", "left"),
    [
        ("a)", True, 16, True),
        ("'a)'", True, 16, False),
        (r"'a\')'", True, 16, True),
        (r"'a\')'", False, 16, False),
        (r"'a\'')'", False, 16, True),
        (r"E'a\')'", True, 16, False),
        (r"nE'a\')'", True, 16, True),
        (r"1E'a\')'", True, 13, False),
        (r"1E'a\')'", True, 15, False),
        (r"0x1E'a\')'", True, 16, True),
        (r"—E'a\')'", True, 16, True),
        ("E'a'\n'\\')'", True, 16, False),
        ("E'a' '\\')'", True, 16, True),
        ("E'a' -- b\n '\\')'", True, 16, False),
        ("$$)$$", True, 16, False),
        ("$a$)$$", True, 16, True),
        ("a$$)$$", True, 16, True),
        ("/* /* */ ) */", True, 16, False),
        ("/* ", True, 16, True),
        ("-- )\n", True, 16, False),
        ("-- )", True, 16, True),
        ('"a"")"', True, 16, False),
        ("U&'\\'')'", True, 16, False),
        ("a;b", True, 16, True),
    ],
)
def test_the_lexer_that_judges(text: str, standard_strings: bool, major: int, left: bool) -> None:
    assert leaves(text, standard_strings, major) is left
