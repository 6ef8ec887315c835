# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    HIDDEN,
    SECRET_KEYWORDS,
    Conninfo,
    ConninfoType,
    HiddenConninfo,
    HiddenLiteral,
    hide,
    holds_secret,
    keyword_text,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from tests.unit.render import render

TEXT = st.text(st.characters(exclude_characters="\x00", codec="utf-8"))
KEYWORDS = st.sampled_from(["host", "dbname", "user", "password", "application_name", "options"])
# A star alone is what a hidden secret looks like.
SECRETS = st.text(st.characters(exclude_characters="\x00*", codec="utf-8"), min_size=1, max_size=20)


def read(value: object) -> HiddenConninfo:
    return ConninfoType("dict")(value)


def refused(value: object) -> str:
    hidden = read(value)
    with pytest.raises(ReplicationError) as raised:
        hidden.require("connection")
    assert hidden == {"unreadable": HIDDEN}
    return raised.value.message


# --- reading and writing -------------------------------------------------------------------------


@given(st.dictionaries(KEYWORDS, TEXT))
@example({"password": "0123"})
@example({"password": "it's a \\ 'secret'"})
@example({"password": " = "})
@example({"host": ""})
def test_a_mapping_survives_its_own_connection_string(keywords: dict[str, str]) -> None:
    conninfo = read(keywords).require("connection")
    assert conninfo == Conninfo(keywords)
    assert Conninfo.parse(conninfo.dsn()) == conninfo
    assert parse_dsn(conninfo.dsn()) == keywords


@given(st.fixed_dictionaries({"user": TEXT, "password": TEXT, "dbname": TEXT}))
def test_a_uri_is_read(parts: dict[str, str]) -> None:
    assume(all(parts.values()))
    escaped = {keyword: quote(value, safe="") for keyword, value in parts.items()}
    uri = "postgresql://{user}:{password}@[::1]:5433/{dbname}?sslmode=require".format(**escaped)
    assert read(uri).require("connection") == Conninfo(
        {**parts, "host": "::1", "port": "5433", "sslmode": "require"}
    )


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("", {}),
        ("host=a  port = 5432", {"host": "a", "port": "5432"}),
        (r"password='it\'s \\'", {"password": "it's \\"}),
        ("password=0123", {"password": "0123"}),
        ("postgres://", {}),
        ("postgresql://a,b:1/d", {"host": "a,b", "port": ",1", "dbname": "d"}),
    ],
)
def test_strings(text: str, keywords: dict[str, str]) -> None:
    assert Conninfo.parse(text) == Conninfo(keywords)


@pytest.mark.parametrize(
    "text",
    [
        "password='open sesame",
        "sesame",
        "password=a sesame",
        "pasword=sesame",
        "postgresql://u:sesame%zz@h/d",
        "postgresql://u:sesame@h/d?pasword=sesame",
        "postgresql://u:sesame@[::1/d",
        "password=sesame\ud800",
    ],
)
def test_a_broken_string_is_not_quoted(text: str) -> None:
    assert "sesame" not in refused(text)
    with pytest.raises(ValueError, match=r"^(?!.*sesame)"):
        Conninfo.parse(text)


def test_the_sentence_for_a_broken_string() -> None:
    assert refused("password='open") == (
        "connection: not a connection string by libpq's rules: keyword=value pairs, values with"
        " blanks in single quotes, or a postgresql:// URI."
    )


@pytest.mark.parametrize("value", [{"password": "a\x00b"}, {"host": "a\x00b"}, "host=a\x00b"])
def test_libpq_would_end_at_a_nul(value: object) -> None:
    assert refused(value) == "connection: a NUL character is not possible in a connection."


@pytest.mark.parametrize("value", [{"password": "\ud800"}, "host=\ud800"])
def test_no_unicode(value: object) -> None:
    assert refused(value) == "connection: a connection has to be valid Unicode text."


# --- YAML's values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("port", 5432, "5432"),
        ("connect_timeout", 2.5, "2.5"),
        ("sslcompression", True, "1"),
        ("sslcompression", False, "0"),
        ("host", "0123", "0123"),
        ("password", "0123", "0123"),
    ],
)
def test_values(keyword: str, value: object, text: str) -> None:
    assert keyword_text(keyword, value) == text
    assert read({keyword: value}).require("connection")[keyword] == text


@pytest.mark.parametrize("value", [123, 1.5, True, None, ["a"], {"a": "b"}])
@pytest.mark.parametrize("keyword", ["password", "sslpassword"])
def test_a_password_is_a_string(keyword: str, value: object) -> None:
    assert refused({keyword: value}) == (
        f"connection: {keyword} is not a string: put it in quotes, or YAML makes 0123 a number."
    )


@pytest.mark.parametrize("value", [None, ["a"], {"a": "b"}])
def test_a_value_is_a_scalar(value: object) -> None:
    assert refused({"host": value}) == "connection: host has to be a string."


@pytest.mark.parametrize("value", [None, 1, ["host=a"], True])
def test_neither_mapping_nor_string(value: object) -> None:
    assert refused(value) == "connection: neither a mapping nor a connection string."


@pytest.mark.parametrize("keyword", ["dsn", "database", "Password", "pasword", "async", "hostt"])
def test_unknown_keywords(keyword: str) -> None:
    told = refused({keyword: "sesame"})
    assert told.startswith(f"connection: {keyword!r} is not a connection keyword of libpq ")
    assert "sesame" not in told


@pytest.mark.parametrize(
    "keyword", ["", "host=evil user", "user=sesame password", "host ", "a'", "\ud800", "a\x00", 1]
)
def test_a_keyword_is_one_word(keyword: object) -> None:
    assert refused({keyword: "x"}) == (
        "connection: a keyword of a connection is one word, like host or dbname."
    )


# --- hiding --------------------------------------------------------------------------------------


def test_what_is_shown() -> None:
    conninfo = Conninfo({"host": "h", "password": "sesame", "sslpassword": "sesame", "user": "u"})
    assert conninfo.secrets() == ["sesame", "sesame"]
    assert conninfo.shown() == {
        "host": "h",
        "password": HIDDEN,
        "sslpassword": HIDDEN,
        "user": "u",
    }
    assert parse_dsn(conninfo.shown_dsn()) == conninfo.shown()
    assert repr(conninfo) == f"Conninfo({conninfo.shown()!r})"
    assert read(dict(conninfo)) == conninfo.shown()


@given(st.sampled_from(sorted(SECRET_KEYWORDS)), SECRETS)
def test_no_secret_keyword_is_shown(keyword: str, secret: str) -> None:
    conninfo = Conninfo({"host": "", keyword: secret})
    assert conninfo.shown() == {"host": "", keyword: HIDDEN}
    assert str(HiddenConninfo(conninfo)) == str({"host": "", keyword: HIDDEN})


@pytest.mark.parametrize("one", ["password=a", "password=b", "host=a", ""])
@pytest.mark.parametrize("other", ["password=a", "password=b", "host=a", ""])
def test_equality_is_that_of_the_secrets_too(one: str, other: str) -> None:
    assert (Conninfo.parse(one) == Conninfo.parse(other)) is (one == other)


def test_a_statement_and_what_is_shown_of_it() -> None:
    secret = sql.SQL("CONNECTION {}").format(HiddenLiteral(Conninfo({"password": "sesame"})))
    plain = sql.SQL("CONNECTION {}").format(HiddenLiteral(Conninfo({"host": "h"})))
    assert holds_secret(sql.SQL("; ").join([plain, secret]))
    assert not holds_secret(sql.SQL("; ").join([plain, plain]))
    assert render(secret) == f"CONNECTION 'password={HIDDEN}'"


def in_e_string(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")


def dsn_value(secret: str) -> str:
    return Conninfo({"password": secret}).dsn().removeprefix("password=")


@given(SECRETS)
@example("it's")
@example("back\\slash")
@example("b\\'oth")
@example('quo"te')
@example("line\nbreak")
@example("p@ss/w:rd")
def test_a_secret_is_hidden_in_every_escape(secret: str) -> None:
    written = {
        "plain": secret,
        "connection string": dsn_value(secret),
        "literal": secret.replace("'", "''"),
        "escape string": in_e_string(secret),
        "connection string in a literal": dsn_value(secret).replace("'", "''"),
        "connection string in an escape string": in_e_string(dsn_value(secret)),
        "URI": quote(secret, safe=""),
        "Python": repr(secret),
    }
    for how, text in written.items():
        inner = text.removeprefix("'").removesuffix("'") if text[0] == text[-1] == "'" else text
        for around in ("{}", "at {}.", "'{}'", "password={} host=h"):
            told = hide(around.format(text), [secret])
            assert HIDDEN in told, how
            assert len(secret) < 3 or inner not in told, how


@given(SECRETS, st.lists(SECRETS, max_size=3), st.lists(TEXT, min_size=1, max_size=3))
def test_hidden_output_never_holds_a_secret(
    secret: str, others: list[str], texts: list[str]
) -> None:
    value = {"a": [text + secret + text for text in texts], "b": ({"c": secret},), "d": 1}
    hidden = hide(value, [secret, *others])
    assert all(secret not in text for text in (*hidden["a"], hidden["b"][0]["c"]))
    assert hidden["d"] == 1
    assert json.dumps(hidden)


def test_a_secret_within_another_is_hidden_with_it() -> None:
    assert hide("sesame", ["sesame", "same"]) == hide("sesame", ["same", "sesame"]) == HIDDEN


def test_nothing_to_hide() -> None:
    value = {"a": ["b", None, 1]}
    assert hide(value, []) == hide(value, [""]) == value


@pytest.mark.parametrize(
    "connection",
    [
        "host= password=sesame",
        {"dbname": "postgresql://boss:sesame@shore/d"},
        {"options": "x", "application_name": "sslpassword=sesame"},
    ],
)
def test_a_password_that_came_into_another_value(connection: object) -> None:
    hidden = read(connection)
    assert "sesame" not in str(hidden)
    assert len(hidden.require("connection").secrets()) == 1


def test_what_libpq_knows_as_secret() -> None:
    """Those that libpq itself marks as such, to be shown as stars: PQconndefaults, dispchar."""
    assert {
        "password",
        "sslpassword",
        "oauth_client_secret",
        "scram_client_key",
        "scram_server_key",
    } == SECRET_KEYWORDS
