# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The frame of every module: arguments in, one result out, every result through one gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    Session,
    connection_spec,
    login_conninfo,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    HiddenConninfo,
    hide,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import require_psycopg2
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import check_text, unique
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, carry_out

Params = Mapping[str, Any]
Result = dict[str, Any]


class Context:
    """What a module's work may touch: its session, its mode, and what must stay hidden."""

    def __init__(self, session: Session, check_mode: bool, secrets: list[str]) -> None:
        self.session = session
        self.check_mode = check_mode
        self.secrets = secrets
        self.warnings: list[str] = []

    def carry_out(self, plan: Plan) -> Result:
        """Run or rehearse the plan; the part of the result that all modules share."""
        queries = carry_out(plan, self.session, self.check_mode)
        self.warnings.extend(plan.warnings)
        return {
            "changed": plan.changed,
            "queries": queries,
            "diff": {"before": plan.before, "after": plan.after},
        }


def run_module(
    argument_spec: Mapping[str, Any],
    request: Callable[[Params], Any],
    work: Callable[[Context, Any], Result],
    **rules: Any,
) -> NoReturn:
    """Read the arguments, check them, connect, work, and end the module with its result.

    :param request: makes what is asked for out of the options, and raises where they are wrong.
    :param work: does it on a server.
    :param rules: further arguments of AnsibleModule (required_if, ...).
    """
    module = AnsibleModule(
        argument_spec={**connection_spec(), **argument_spec}, supports_check_mode=True, **rules
    )
    secrets = _secrets(module.params)
    module.no_log_values.update(secret for secret in secrets if secret)
    try:
        require_psycopg2()
        for option, value in module.params.items():
            check_text(option, value)
        asked = request(module.params)
        session = Session(login_conninfo(module.params))
        try:
            context = Context(session, module.check_mode, secrets)
            result = work(context, asked)
            warnings = [*context.warnings, *session.warnings()]
        finally:
            session.close()
    except ReplicationError as exc:
        module.fail_json(msg=hide(exc.message, secrets), **hide(exc.result, secrets))
    for warning in unique(warnings):
        module.warn(hide(warning, secrets))
    module.exit_json(**hide(result, secrets))


def _secrets(params: Params) -> list[str]:
    connections = [value.conninfo for value in params.values() if isinstance(value, HiddenConninfo)]
    return [secret for conninfo in connections if conninfo for secret in conninfo.secrets()]
