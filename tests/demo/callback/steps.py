# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's output for somebody who looks on: a line for what was changed, and failures in full."""

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: A line for each change
description:
  - Prints what was changed, what was said, and what failed. Everything else is silent.
extends_documentation_fragment:
  - default_callback
"""

from typing import Any

from ansible.plugins.callback.default import CallbackModule as Default


class CallbackModule(Default):
    """The default callback, of which failures and warnings are kept."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "steps"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        del task, is_conditional

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        del task

    def v2_playbook_on_cleanup_task_start(self, task: Any) -> None:
        del task

    def v2_playbook_on_include(self, included_file: Any) -> None:
        del included_file

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats

    def v2_runner_on_skipped(self, result: Any) -> None:
        del result

    def v2_runner_item_on_ok(self, result: Any) -> None:
        del result

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        del result

    def v2_runner_on_ok(self, result: Any) -> None:
        host, task = result._host.get_name(), result._task
        name = task.get_name().rpartition(" : ")[2].rpartition(" | ")[2]
        if task.action == "ansible.builtin.debug" and not result._result.get("_ansible_no_log"):
            said = result._result.get("msg", "")
            for line in said if isinstance(said, list) else [said]:
                self._display.display(f"    {host:10} {line}")
        elif result._result.get("changed"):
            self._display.display(f"    {host:10} {name}", color="yellow")
