# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Connection strings by libpq's rules, and the one place that hides secrets.

PostgreSQL: libpq, "Connection Strings".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import (
    extensions,
    psycopg2,
    sql,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError

HIDDEN = "********"
SECRET_KEYWORDS = frozenset(
    ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
)
# "host= password=x" is a host to libpq: a template left the host empty. And a URI may stand in a value.
_SECRET_WITHIN = re.compile(rf"(?:{'|'.join(SECRET_KEYWORDS)})\s*=|://[^/@\s]*:[^/@\s]*@")


class Conninfo(Mapping[str, str]):
    """Keywords and values of a connection; equal where all of them, secrets included, are."""

    def __init__(self, keywords: Mapping[str, str]) -> None:
        self._keywords = dict(keywords)

    def __getitem__(self, keyword: str) -> str:
        return self._keywords[keyword]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords)

    def __len__(self) -> int:
        return len(self._keywords)

    def __repr__(self) -> str:
        return f"Conninfo({self.shown()!r})"

    @classmethod
    def parse(cls, text: str) -> Conninfo:
        """The keywords of a connection string or URI.

        :raises ValueError: libpq cannot read it. The message quotes nothing of it.
        """
        _check_text(text)
        try:
            return cls(extensions.parse_dsn(text))
        except (psycopg2.Error, UnicodeError):
            raise ValueError(
                "not a connection string by libpq's rules: keyword=value pairs, values with blanks"
                " in single quotes, or a postgresql:// URI"
            ) from None

    def dsn(self) -> str:
        """The connection string, secrets and all."""
        return str(extensions.make_dsn(**self._keywords))

    def shown_dsn(self) -> str:
        """The connection string with its secrets hidden."""
        return str(extensions.make_dsn(**self.shown()))

    def shown(self) -> dict[str, str]:
        """The keywords with secret values hidden."""
        return {
            keyword: HIDDEN if _is_secret(keyword, value) else value
            for keyword, value in self._keywords.items()
        }

    def secrets(self) -> list[str]:
        """The secret values."""
        return [value for keyword, value in self._keywords.items() if _is_secret(keyword, value)]


def _is_secret(keyword: str, value: str) -> bool:
    return keyword in SECRET_KEYWORDS or bool(_SECRET_WITHIN.search(value))


def _check_keyword(keyword: str) -> None:
    """Refuse what libpq does not know. A keyword that is no word is not quoted: who knows what it holds."""
    if not keyword.isidentifier():
        raise ValueError("a keyword of a connection is one word, like host or dbname")
    if not _is_keyword(keyword):
        raise ValueError(
            f"{keyword!r} is not a connection keyword of libpq"
            f" {psycopg2.__libpq_version__ // 10000} (host, port, dbname, user, sslmode, passfile, ...)"
        )


def _is_keyword(keyword: str) -> bool:
    """Whether libpq reads it as one keyword, not as several, nor make_dsn as an argument."""
    try:
        read = extensions.parse_dsn(extensions.make_dsn(**{keyword: ""}))
    except (psycopg2.Error, TypeError):
        return False
    return bool(read == {keyword: ""})


def _check_text(text: str) -> None:
    """Refuse what no connection string can hold: libpq would end at the NUL without a word."""
    if "\x00" in text:
        raise ValueError("a NUL character is not possible in a connection")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a connection has to be valid Unicode text") from None


def keyword_text(keyword: str, value: Any) -> str:
    """A keyword's value as text.

    :raises ValueError: where text would not be what was meant.
    """
    if isinstance(value, str):
        _check_text(value)
        return value
    if keyword in SECRET_KEYWORDS:
        raise ValueError(
            f"{keyword} is not a string: put it in quotes, or YAML makes 0123 a number"
        )
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError(f"{keyword} has to be a string")


class HiddenConninfo(dict):  # type: ignore[type-arg]
    """What Ansible holds, logs and returns for a connection option: never a secret.

    What was meant is in `conninfo`; why it could not be read, in `error`.
    """

    def __init__(self, conninfo: Conninfo | None = None, error: str | None = None) -> None:
        super().__init__(conninfo.shown() if conninfo is not None else {"unreadable": HIDDEN})
        self.conninfo = conninfo
        self.error = error

    def require(self, option: str) -> Conninfo:
        """The connection, or a sentence that names the option."""
        if self.conninfo is None:
            raise ReplicationError(f"{option}: {self.error}.")
        return self.conninfo


class ConninfoType(str):
    """An option's type, a mapping or a string for Ansible, read at once into HiddenConninfo.

    A callable type runs while AnsibleModule reads its arguments, so that not even its log of the
    invocation, or a failure over another option, has the password. It is a str too, because the
    documentation and Ansible's checks know the type by its name.
    """

    def __call__(self, value: Any) -> HiddenConninfo:
        try:
            if isinstance(value, str) and psycopg2 is not None:
                return HiddenConninfo(Conninfo.parse(value))
            if isinstance(value, Mapping):
                return HiddenConninfo(_from_mapping(value))
        except ValueError as exc:
            return HiddenConninfo(error=str(exc))
        return HiddenConninfo(error="neither a mapping nor a connection string")


def _from_mapping(value: Mapping[Any, Any]) -> Conninfo:
    keywords = {str(keyword): item for keyword, item in value.items()}
    if psycopg2 is not None:
        # Before anything is shown: a misspelt password is a password too.
        for keyword in keywords:
            _check_keyword(keyword)
    return Conninfo({keyword: keyword_text(keyword, item) for keyword, item in keywords.items()})


class HiddenLiteral(sql.Composable):
    """A connection string as an SQL literal; where it is shown, without its secrets."""

    def __init__(self, conninfo: Conninfo) -> None:
        super().__init__(conninfo)
        self.conninfo = conninfo

    def as_string(self, context: Any = None) -> str:
        return str(sql.Literal(self.conninfo.dsn()).as_string(context))

    def shown_as_string(self, context: Any) -> str:
        return str(sql.Literal(self.conninfo.shown_dsn()).as_string(context))


def holds_secret(statement: sql.Composable) -> bool:
    """Whether a secret stands in the statement."""
    if isinstance(statement, sql.Composed):
        return any(holds_secret(part) for part in statement.seq)
    return isinstance(statement, HiddenLiteral) and bool(statement.conninfo.secrets())


def shown(statement: sql.Composable, context: Any) -> str:
    """The statement as it may be shown."""
    if isinstance(statement, sql.Composed):
        return "".join(shown(part, context) for part in statement.seq)
    if isinstance(statement, HiddenLiteral):
        return statement.shown_as_string(context)
    return str(statement.as_string(context))


def hide(value: Any, secrets: Iterable[str]) -> Any:
    """The value, at any depth, with every secret in it hidden, however it is escaped there."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    return _hide(value, forms) if forms else value


def _forms(secret: str) -> Iterator[str]:
    if not secret:
        return
    for text in (
        secret,
        _backslashed(secret),
        repr(secret)[1:-1],
        quote(secret, "", errors="replace"),
    ):
        for quoted in (text, text.replace("'", "\\'")):
            # As it is, as an SQL literal, as an SQL literal in E''.
            yield quoted
            yield quoted.replace("'", "''")
            yield _backslashed(quoted).replace("'", "''")


def _backslashed(text: str) -> str:
    return text.replace("\\", "\\\\")


def _hide(value: Any, forms: list[str]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, HIDDEN)
        return value
    if isinstance(value, dict):
        return {key: _hide(item, forms) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide(item, forms) for item in value]
    return value
