# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The doctor's rules on the way from a ship to its shore.

PostgreSQL: Client Authentication; Secure TCP/IP Connections with SSL; Error Codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import duration
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import (
    CRITICAL,
    NOT_CONNECTED,
    WARNING,
    Case,
    Facts,
    Finding,
    Rule,
    quoted,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_hba import (
    BY_PASSWORD,
    Client,
    first_match,
    meant_for,
    written,
)

# Further than this apart, certificates begin to be a matter of luck, and times in logs mislead.
CLOCK_SECONDS = 60
_NOT_READY = "57P03"
_NO_ENTRY = "28000"
_WRONG_PASSWORD = "28P01"  # noqa: S105 - an SQLSTATE
_NO_PRIVILEGE = "42501"
_TOO_MANY = "53300"
_NO_DATABASE = "3D000"
_LATER = ("tls", "authentication", "replication")
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+[0-9a-fA-F]")
_ONBOARD = "ansible-playbook -i INVENTORY playbooks/ship_onboard.yml -e ship={}"


# --- the hosts -----------------------------------------------------------------------------------


def _shore_down(case: Case) -> Iterator[Finding]:
    shore = case.shore
    if shore is None:
        # Somebody answered there, and it was not the server.
        if (
            case.shore_dark
            and _stage(case) == "tcp"
            and _reason(case) == "refused"
            and (not _elsewhere(case))
        ):
            yield Finding(
                CRITICAL,
                case.shore_name,
                f"{case.shore_name} refuses the connection: nothing listens there. Most likely its"
                " server is down.",
                (_tried(case), f"Ansible does not reach {case.shore_name}: {case.shore_dark}"),
                f"On {case.shore_name}: pg_lsclusters",
            )
        return
    cluster = shore["cluster"]
    title = f"{cluster['version']} {cluster['name']}"
    if not cluster["running"]:
        yield Finding(
            CRITICAL,
            case.shore_name,
            f"The shore's PostgreSQL is down: no ship gets anything from {case.shore_name}.",
            (
                f"no server runs for cluster {title} (pg_lsclusters)",
                *_last_words(case, "shore"),
            ),
            f"On {case.shore_name}: pg_ctlcluster {title} start",
        )
    elif _sqlstate(case) == _NOT_READY or cluster["status"] not in ("ready", "standby"):
        yield Finding(
            CRITICAL,
            case.shore_name,
            "The shore's PostgreSQL runs, and takes no connections yet, or no more:"
            f" it is {cluster['status']}.",
            (_tried(case), *_last_words(case, "shore")),
            f"On {case.shore_name}: tail {cluster['log_file']}",
        )


def _shore_unreachable(case: Case) -> Iterator[Finding]:
    if not case.shore_dark or case.came_through:
        return
    if case.probe is None:
        # The ship could not be asked either. Whether the fault is theirs or the controller's is open.
        if case.ship_dark or case.errors.get("probe"):
            yield Finding(
                CRITICAL,
                case.shore_name,
                f"{case.shore_name} does not answer to Ansible, and how {case.name} sees it is not"
                " known.",
                (case.shore_dark,),
                f"ping {case.shore_name}, or its console",
            )
        return
    if _stage(case) == "tcp" and _reason(case) != "refused" and not _elsewhere(case):
        yield Finding(
            CRITICAL,
            case.shore_name,
            f"{case.shore_name} answers neither Ansible nor {case.name}: it is down, or its link is.",
            (_tried(case), f"Ansible: {case.shore_dark}"),
            f"ping {case.shore_name}, its console, and the link's modem",
        )


def _ship_unreachable(case: Case) -> Iterator[Finding]:
    if not case.ship_dark:
        return
    proof = [f"Ansible: {case.ship_dark}"]
    if case.slot is not None and not case.slot["active"]:
        age = case.slot.get("inactive_seconds")
        since = f" for {duration(age)}" if age is not None else ""
        proof.append(f"its slot {case.slot_name} on {case.shore_name} is inactive{since}")
    elif case.sender is not None:
        proof.append(
            f"and still it takes WAL from {case.shore_name} (walsender {case.sender['pid']},"
            f" last reply {case.sender['reply_time']})"
        )
    yield Finding(
        WARNING if case.connected else CRITICAL,
        case.name,
        f"{case.name} is dark: nothing is known of its own side."
        + (
            ""
            if case.connected
            else f" {case.shore_name} keeps what it misses for as long as its slot holds."
        ),
        tuple(proof),
        "Wait for its link, or reach its crew; then run this again",
    )


def _clock_off(case: Case) -> Iterator[Finding]:
    known = {end: case.clock_offset(end) for end in ("shore", "ship")}
    offsets = {end: offset for end, offset in known.items() if offset is not None}
    # Where both agree it is the controller that is wrong.
    if max(offsets.values(), default=0) - min(offsets.values(), default=0) <= CLOCK_SECONDS and (
        len(offsets) > 1
    ):
        return
    expired = _stage(case) == "tls" and _reason(case) in ("expired", "not_yet_valid")
    for end, offset in offsets.items():
        if abs(offset) <= CLOCK_SECONDS:
            continue
        name = case.name if end == "ship" else case.shore_name
        yield Finding(
            CRITICAL if expired else WARNING,
            name,
            f"The clock of {name} is {duration(abs(offset))} {'ahead' if offset > 0 else 'behind'}:"
            " certificates are refused before or after their time, and times in logs mislead.",
            (
                f"{offset:+.0f} s against the controller's clock",
                *((_tried(case),) if expired else ()),
            ),
            f"On {name}: timedatectl set-ntp true, or date --set; then look whether it keeps the time",
        )


# --- name, address, port ---------------------------------------------------------------------------


def _name_not_resolved(case: Case) -> Iterator[Finding]:
    if _stage(case) == "name" and case.probe is not None:
        host = case.probe["target"].get("host")
        yield Finding(
            case.severity,
            case.name,
            f"{case.name} cannot resolve {host}, the name that it knows the shore by.",
            (_tried(case),),
            f"On {case.name}: getent hosts {host}; set its resolver or /etc/hosts right, or give"
            " the shore's fleet_address as an address and run " + _ONBOARD.format(case.name),
        )


def _wrong_address(case: Case) -> Iterator[Finding]:
    probe = case.probe
    if probe is None or probe["stage"] in ("name", "settings"):
        return
    target = probe["target"]
    where = f"{target.get('host') or target.get('hostaddr')} port {target['port']}"
    wanted = f"{case.wanted['shore_addresses'][0]} port {_shore_port(case)}"
    elsewhere = _elsewhere(case)
    stranger = probe["reason"] == "protocol" and "no PostgreSQL" in probe["text"]
    if elsewhere and (probe["stage"] is not None or _other_system(case)):
        yield Finding(
            case.severity,
            case.name,
            f"{case.name} looks for the shore at {where}, and it is at {wanted}.",
            (_tried(case), f"{_source(case)} of {case.name} leads to {where}"),
            _ONBOARD.format(case.name),
        )
    elif stranger:
        yield Finding(
            case.severity,
            case.name,
            f"What answers at {where} is no PostgreSQL server.",
            (_tried(case),),
            f"Set fleet_address and fleet_port of {case.shore_name} right in the inventory, and run "
            + _ONBOARD.format(case.name),
        )
    elif _sqlstate(case) == _NO_DATABASE:
        yield Finding(
            case.severity,
            case.name,
            f"{case.name} asks for the database {target['dbname']}, which is not on"
            f" {case.shore_name}.",
            (_tried(case),),
            _ONBOARD.format(case.name),
        )


def _port_closed(case: Case) -> Iterator[Finding]:
    if case.shore is None or not case.shore_server or case.probe is None or _elsewhere(case):
        return
    stalls = _stage(case) in _LATER and _reason(case) == "timeout"
    if _stage(case) != "tcp" and not stalls:
        return
    target = case.probe["target"]
    port = target["port"]
    listens = str(case.shore_settings.get("listen_addresses", "*"))
    proof = [_tried(case), f"the server on {case.shore_name} runs and listens on {listens}"]
    if not _listens_there(listens, case.probe["addresses"]):
        what = (
            f"The server on {case.shore_name} does not listen on {target.get('host')}"
            f" (listen_addresses: {listens})."
        )
        advice = _ONBOARD.format(case.name)
    else:
        what = (
            f"Port {port} of {case.shore_name} is closed for {case.name}: a firewall between them"
            + (" lets connections begin and no more." if stalls else " keeps it out.")
        )
        advice = (
            f"On {case.shore_name}: ufw status numbered, nft list ruleset; {_ONBOARD.format(case.name)}"
            " makes the hole again"
        )
        own = set(case.shore["host"]["addresses"])
        if (
            own
            and not own & set(case.probe["addresses"])
            and not _loopback(case.probe["addresses"])
        ):
            proof.append(
                f"{', '.join(case.probe['addresses'])} is none of the host's own addresses"
                f" ({', '.join(sorted(own))}): something translates it"
            )
    yield Finding(case.severity, case.shore_name, what, tuple(proof), advice)


def _listens_there(listens: str, addresses: Sequence[str]) -> bool:
    """Whether the setting covers one of the addresses, as far as it can be told without names."""
    words = [word.strip() for word in listens.split(",")]
    if words in (["localhost"], [""]):
        return _loopback(addresses)
    known = ("*", "0.0.0.0", "::", *addresses)  # noqa: S104 - what a setting may hold
    return any(word in known or not _ADDRESS.fullmatch(word) for word in words)


def _loopback(addresses: Sequence[str]) -> bool:
    return all(address.startswith("127.") or address == "::1" for address in addresses)


# --- TLS -------------------------------------------------------------------------------------------


def _tls_off(case: Case) -> Iterator[Finding]:
    if _stage(case) == "tls" and _reason(case) == "not_offered":
        yield Finding(
            case.severity,
            case.shore_name,
            f"The server on {case.shore_name} does not speak TLS, and {case.name} speaks nothing else.",
            (_tried(case), f"ssl is {case.shore_settings.get('ssl', 'not known')} ashore"),
            _ONBOARD.format(case.name),
        )


def _certificate_expired(case: Case) -> Iterator[Finding]:
    if _stage(case) == "tls" and _reason(case) in ("expired", "not_yet_valid"):
        certificate = _certificate(case)
        yield Finding(
            case.severity,
            case.shore_name,
            f"The certificate of {case.shore_name} "
            + (
                f"has expired: it was valid until {certificate.get('not_after')}."
                if _reason(case) == "expired"
                else f"is not valid yet: it begins at {certificate.get('not_before')}."
            ),
            (_tried(case), *_shown_certificate(case)),
            _ONBOARD.format(case.name) + "  # renews it",
        )


def _certificate_authority(case: Case) -> Iterator[Finding]:
    if _stage(case) != "tls":
        return
    target = (case.probe or {})["target"]
    file = target.get("sslrootcert", "~postgres/.postgresql/root.crt")
    if _reason(case) == "authority":
        yield Finding(
            case.severity,
            case.shore_name,
            f"The certificate of {case.shore_name} is not of the authority that {case.name} trusts.",
            (_tried(case), *_shown_certificate(case), f"{case.name} trusts what is in {file}"),
            _ONBOARD.format(case.name) + "  # gives it a certificate of the fleet's authority",
        )
    elif _reason(case) == "no_root_certificate":
        yield Finding(
            case.severity,
            case.name,
            f"{case.name} has no certificate of an authority to hold the shore's against.",
            (_tried(case),),
            _ONBOARD.format(case.name),
        )


def _certificate_name(case: Case) -> Iterator[Finding]:
    if _stage(case) == "tls" and _reason(case) == "name":
        target = (case.probe or {})["target"]
        yield Finding(
            case.severity,
            case.shore_name,
            f"The certificate of {case.shore_name} is not for {target.get('host')}, the name that"
            f" {case.name} knows it by.",
            (_tried(case), *_shown_certificate(case)),
            f"Add the name to fleet_certificate_names of {case.shore_name}, and run "
            + _ONBOARD.format(case.name),
        )


def _certificate(case: Case) -> Facts:
    return (case.probe or {}).get("certificate") or {}


def _shown_certificate(case: Case) -> Iterator[str]:
    certificate = _certificate(case)
    if certificate:
        yield (
            f"the certificate: {certificate.get('subject')}, of {certificate.get('issuer')}, for"
            f" {', '.join(certificate.get('names') or ['no name'])}, valid from"
            f" {certificate.get('not_before')} to {certificate.get('not_after')}"
        )


# --- who may come in -------------------------------------------------------------------------------


def _client(case: Case) -> Client:
    """The connection as the shore saw it: what it said of it, else what the ship knows."""
    probe = case.probe or {}
    said = _ADDRESS.search(probe.get("text", "")) if _sqlstate(case) == _NO_ENTRY else None
    address = said[0] if said else probe.get("local_address") or case.wanted["addresses"][0]
    database = probe["target"]["dbname"] if probe.get("logical") else None
    return Client(case.role, database, str(address), tls=probe.get("tls") is not False)


def _kept_out(case: Case) -> bool:
    """By pg_hba.conf: by no line, by one that rejects, or by one that wants what a ship has not."""
    if _stage(case) != "authentication" or _may_not_log_in(case):
        return False
    hba = case.shore_server.get("hba")
    met = first_match(hba["rules"], _client(case)) if hba else None
    return _sqlstate(case) == _NO_ENTRY or (
        met is not None and met["auth_method"] not in (*BY_PASSWORD, "reject")
    )


def _hba_missing(case: Case) -> Iterator[Finding]:
    if not _kept_out(case) or _line_meant(case) is not None:
        return
    client = _client(case)
    file = (case.shore_server.get("hba") or {}).get("file", "pg_hba.conf")
    yield Finding(
        case.severity,
        case.shore_name,
        f"{file} on {case.shore_name} has no line for {case.name}: user {client.user} from"
        f" {client.address} to {client.database or 'replication'}.",
        (_tried(case),),
        _ONBOARD.format(case.name),
        {"action": "hba_block"},
    )


def _hba_mismatch(case: Case) -> Iterator[Finding]:
    if not _kept_out(case):
        return
    meant = _line_meant(case)
    if meant is None:
        return
    hba, client = case.shore_server["hba"], _client(case)
    line, wrong = meant
    place = f"{hba['file']} line {line['line_number']}"
    proof = [_tried(case), f"{place}: {written(line)}"]
    met = first_match(hba["rules"], client)
    if met is not None and met["line_number"] < line["line_number"]:
        proof.append(f"line {met['line_number']} comes first: {written(met)}")
    if not wrong and hba.get("modified_after_load"):
        what = f"{place} admits {case.name}, and the server has not read the file since."
        advice = f"On {case.shore_name}: pg_ctlcluster VERSION CLUSTER reload"
    elif not wrong:
        what = f"{place} would admit {case.name}, and a line before it does not."
        advice = _ONBOARD.format(case.name)
    else:
        what = (
            f"{place} is for {case.name}, and does not fit in its {' and '.join(wrong)}: it came as"
            f" user {client.user} from {client.address} to {client.database or 'replication'}."
        )
        advice = _ONBOARD.format(case.name)
    yield Finding(
        case.severity, case.shore_name, what, tuple(proof), advice, {"action": "hba_block"}
    )


def _line_meant(case: Case) -> tuple[Facts, list[str]] | None:
    hba = case.shore_server.get("hba")
    if not hba:
        return None
    return meant_for(hba["rules"], _client(case), case.wanted["slot"], case.wanted["ships"])


def _wrong_password(case: Case) -> Iterator[Finding]:
    if _stage(case) != "authentication":
        return
    if _sqlstate(case) != _WRONG_PASSWORD and _reason(case) != "no_password":
        return
    if _no_role(case):
        return
    role = (case.shore_server.get("roles") or {}).get(case.role) or {}
    passfile = (case.probe or {}).get("passfile") or {}
    what = f"{case.shore_name} does not take the password that {case.name} has for {case.role}."
    proof = [_tried(case)]
    if role and not role["valid"]:
        what = f"The password of {case.role} has expired on {case.shore_name} (VALID UNTIL)."
    elif role and not role["password"]:
        what = f"{case.role} has no password on {case.shore_name}, so that none fits."
    elif passfile and not passfile["usable"]:
        what = f"{case.name} has no password to give: {passfile['path']}: {passfile['why']}."
    elif passfile and not passfile["entry"]:
        what = f"{case.name} has no password to give: no line of {passfile['path']} fits."
    elif passfile:
        proof.append(f"the password is that of {passfile['path']}")
    yield Finding(
        case.severity,
        case.name,
        what,
        tuple(proof),
        _ONBOARD.format(case.name) + "  # gives both ends the same password",
    )


def _role_without_replication(case: Case) -> Iterator[Finding]:
    roles = case.shore_server.get("roles")
    role = (roles or {}).get(case.role)
    refused = _stage(case) == "authentication" and _sqlstate(case) == _NO_PRIVILEGE
    proof = (_tried(case),) if refused else ()
    if _no_role(case):
        what = f"There is no role {case.role} on {case.shore_name}."
        proof = (_tried(case),) if _stage(case) else ()
    elif _may_not_log_in(case):
        what = f"The role {case.role} on {case.shore_name} may not log in (NOLOGIN)."
        proof = (_tried(case),) if _stage(case) else ()
    elif refused or (role and not role["replication"] and not role["superuser"]):
        what = f"The role {case.role} on {case.shore_name} has no REPLICATION, without which no WAL is sent."
    else:
        return
    yield Finding(
        case.severity,
        f"role {case.role}",
        what,
        (*proof, *((f"pg_roles on {case.shore_name}: {_attributes(role)}",) if role else ())),
        f"On {case.shore_name}: ALTER ROLE {case.role} LOGIN REPLICATION; or {_ONBOARD.format(case.name)}",
    )


def _attributes(role: Facts) -> str:
    """As \\du shows them."""
    words = {"login": "LOGIN", "replication": "REPLICATION", "superuser": "SUPERUSER"}
    return ", ".join(word if role[key] else f"NO{word}" for key, word in words.items())


def _no_role(case: Case) -> bool:
    roles = case.shore_server.get("roles")
    return roles is not None and case.role not in roles


def _may_not_log_in(case: Case) -> bool:
    role = (case.shore_server.get("roles") or {}).get(case.role)
    if role is not None:
        return not role["login"]
    return (case.probe or {}).get("routine") == "InitializeSessionUserId"


def _role_without_select(case: Case) -> Iterator[Finding]:
    """Only the first copy of a table reads it; changes come without."""
    if not case.logical or not case.shore_server or _no_role(case):
        return
    refused = []
    for name, table in sorted((case.shore_server.get("tables") or {}).items()):
        columns = (table["not_selectable_by"] or {}).get(case.role)
        published = _published(case, table)
        if columns and published is not None and (not published or published & set(columns)):
            refused.append(name)
    if not refused:
        return
    waiting = {
        f"{table['schema']}.{table['table']}"
        for table in (case.subscription or {}).get("tables") or ()
        if table["state"] in ("initialize", "data_copy")
    }
    stuck = sorted(waiting & set(refused))
    seen = next((entry for entry in case.log() if "permission denied" in entry["message"]), None)
    yield Finding(
        CRITICAL if stuck else WARNING,
        f"role {case.role}",
        f"The role {case.role} may not read {', '.join(refused)} on {case.shore_name}: "
        + (
            f"the first copy of {', '.join(stuck)} fails." if stuck else "the next copy would fail."
        ),
        (
            f"has_table_privilege() on {case.shore_name} is false",
            *((quoted(seen),) if seen and stuck else ()),
        ),
        f"On {case.shore_name}: GRANT SELECT ON {', '.join(refused)} TO {case.role}; or"
        f" {_ONBOARD.format(case.name)}",
    )


def _published(case: Case, table: Facts) -> set[str] | None:
    """The columns that the ship's publication sends; empty: all. None: it does not send the table."""
    for publication in case.shore_server.get("publications") or ():
        if publication["name"] != case.wanted["publication"]:
            continue
        for sent in publication["tables"]:
            if (sent["schemaname"], sent["tablename"]) == (table["schema"], table["table"]):
                return set(sent.get("attnames") or ())
    return None


def _walsenders_exhausted(case: Case) -> Iterator[Finding]:
    server = case.shore_lag.get("server") or {}
    full = bool(server) and server["wal_senders_used"] >= server["max_wal_senders"]
    refused = _stage(case) in _LATER and _sqlstate(case) == _TOO_MANY
    if not refused and not (full and not case.connected):
        return
    names = [f"{one['name']} ({one['user']})" for one in case.shore_lag.get("standbys") or ()]
    used = (
        f"{server['wal_senders_used']} of {server['max_wal_senders']} walsenders are in use:"
        f" {', '.join(names)}"
        if full
        else ""
    )
    yield Finding(
        case.severity,
        case.shore_name,
        f"All walsenders of {case.shore_name} are in use: no further connection gets one.",
        tuple(proof for proof in (_tried(case) if refused else "", used) if proof),
        "End what need not be connected, or raise max_wal_senders (primary_max_wal_senders), on the"
        " standbys first, and restart",
    )


_NAMED_STATES = frozenset(
    {_NOT_READY, _NO_ENTRY, _WRONG_PASSWORD, _NO_PRIVILEGE, _TOO_MANY, _NO_DATABASE}
)
_NAMED_REASONS = frozenset(
    {
        "expired",
        "not_yet_valid",
        "authority",
        "no_root_certificate",
        "name",
        "not_offered",
        "no_password",
    }
)


def _connection_failed(case: Case) -> Iterator[Finding]:
    """What no other rule has a name for, in the words of who refused."""
    stage = _stage(case)
    if stage not in _LATER or _sqlstate(case) in _NAMED_STATES or _reason(case) in _NAMED_REASONS:
        return
    if _kept_out(case) or (_reason(case) == "timeout" and case.shore_server):
        return
    if _reason(case) == "protocol" and "no PostgreSQL" in (case.probe or {})["text"]:
        return
    yield Finding(
        case.severity,
        case.name,
        f"The connection from {case.name} to {case.shore_name} fails at {stage}.",
        (_tried(case), *_last_words(case, "ship")),
        f"On {case.shore_name}: tail the server's log, which says more than it tells its clients",
    )


# --- helpers ---------------------------------------------------------------------------------------


def _stage(case: Case) -> str | None:
    return (case.probe or {}).get("stage")


def _reason(case: Case) -> str | None:
    return (case.probe or {}).get("reason")


def _sqlstate(case: Case) -> str | None:
    return (case.probe or {}).get("sqlstate")


def _source(case: Case) -> str:
    source = str((case.probe or {})["source"])
    return "the inventory" if source == "otherwise" else f"the connection ({source})"


def _tried(case: Case) -> str:
    """What the probe met, as proof."""
    probe = case.probe
    if probe is None or probe["stage"] is None:
        return f"a connection from {case.name} gets through"
    target = probe["target"]
    state = f" (SQLSTATE {probe['sqlstate']})" if probe["sqlstate"] else ""
    host = target.get("host") or target.get("hostaddr")
    return (
        f"tried from {case.name} to {host} port {target.get('port')}, it ends at {probe['stage']}:"
        f" {probe['text']}{state}"
    )


def _shore_port(case: Case) -> int:
    return int((case.shore or {}).get("cluster", {}).get("port") or case.wanted["shore_port"])


def _elsewhere(case: Case) -> bool:
    """Whether the ship's connection leads to another place than the shore."""
    probe = case.probe
    if probe is None:
        return False
    target = probe["target"]
    if int(target["port"]) != _shore_port(case) and int(target["port"]) != int(
        case.wanted["shore_port"]
    ):
        return True
    # It has shown the shore's certificate for that address.
    if probe["tls"] and target.get("sslmode") == "verify-full" and probe["stage"] != "tls":
        return False
    named = {target.get("host"), target.get("hostaddr")} - {None, ""}
    if named & set(case.wanted["shore_addresses"]):
        return False
    own = set(((case.shore or {}).get("host") or {}).get("addresses") or ())
    known = own | set(case.wanted["shore_addresses"])
    return not known & set(probe["addresses"])


def _other_system(case: Case) -> bool:
    """Whether what answered there is another cluster than the shore's."""
    there = ((case.probe or {}).get("system") or {}).get("system_identifier")
    here = (case.shore_lag.get("server") or {}).get("system_identifier")
    return bool(there and here and there != here)


def _last_words(case: Case, host: str) -> Iterable[str]:
    facts = case.shore if host == "shore" else case.ship
    entries = [
        entry
        for entry in (facts or {}).get("log") or ()
        if entry["level"] in ("FATAL", "PANIC") and not entry["who"]
    ]
    return tuple(quoted(entry) for entry in entries[-1:])


_BEHIND_TCP = frozenset(
    {
        "hba_missing",
        "hba_mismatch",
        "wrong_password",
        "tls_off",
        "certificate_expired",
        "certificate_authority",
        "certificate_name",
        "connection_failed",
    }
)

RULES = (
    Rule("shore_down", _shore_down, NOT_CONNECTED | {"port_closed", "connection_failed"}),
    Rule("shore_unreachable", _shore_unreachable, NOT_CONNECTED | {"ship_unreachable"}),
    Rule("ship_unreachable", _ship_unreachable, NOT_CONNECTED),
    Rule("clock_off", _clock_off, frozenset({"certificate_expired"})),
    Rule("name_not_resolved", _name_not_resolved, NOT_CONNECTED),
    Rule("wrong_address", _wrong_address, NOT_CONNECTED | _BEHIND_TCP | {"port_closed"}),
    Rule("port_closed", _port_closed, NOT_CONNECTED),
    Rule("tls_off", _tls_off, NOT_CONNECTED),
    Rule("certificate_expired", _certificate_expired, NOT_CONNECTED),
    Rule("certificate_authority", _certificate_authority, NOT_CONNECTED),
    Rule("certificate_name", _certificate_name, NOT_CONNECTED),
    Rule("hba_missing", _hba_missing, NOT_CONNECTED),
    Rule("hba_mismatch", _hba_mismatch, NOT_CONNECTED),
    Rule("wrong_password", _wrong_password, NOT_CONNECTED),
    Rule("role_without_replication", _role_without_replication, NOT_CONNECTED),
    Rule(
        "role_without_select",
        _role_without_select,
        frozenset({"table_not_copied", "subscription_disabled_by_error"}),
    ),
    Rule("walsenders_exhausted", _walsenders_exhausted, NOT_CONNECTED),
    Rule("connection_failed", _connection_failed, NOT_CONNECTED),
)
