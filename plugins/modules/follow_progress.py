#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follow a long piece of work; here is one look at its progress file, the action plugin looks again."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: follow_progress
short_description: Wait for a long piece of work on a host, and show how far it is
version_added: 0.1.0
description:
  - Reads a progress file on the host now and then, until the work is done or has failed. When something changed, it
    shows a line with the step, bytes, percent, rate and time left.
  - The work does not depend on it. Where the connection to the host is lost, it waits for the host to come back; where
    the playbook is interrupted, the work goes on.
  - Fails with the work's own message where that has failed.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.waiting
attributes:
  check_mode:
    support: full
    details:
      - Looks once and does not wait, since nothing was begun.
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
    details:
      - Nothing is changed.
  action:
    description: Has an action plugin of the same name, which runs on the controller.
    support: full
options:
  path:
    description:
      - The progress file, a JSON object with C(step), C(state) (V(running), V(waiting), V(done) or V(failed)),
        C(done_bytes), C(total_bytes), C(rate), C(seconds_left), C(message) and C(updated).
    type: path
    required: true
  stale_timeout:
    description:
      - Seconds after which work whose file no longer changes, or never appeared, is taken for dead. V(0) trusts it
        for ever.
    type: float
    default: 300
notes:
  - Ansible's SSH connection notices a link that has gone dark only if it is told to. Set
    C(ansible_ssh_common_args) to V(-o ServerAliveInterval=15 -o ServerAliveCountMax=4) for ships.
seealso:
  - module: hmm.pg_replication.base_backup
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Wait until the ship's seed is in place
  hmm.pg_replication.follow_progress:
    path: /var/lib/pg_replication/main/seed/status.json
    interval: 10
  become: true
"""

RETURN = r"""
progress:
  description: What the file said last. Null where there is none.
  returned: success
  type: dict
  sample:
    step: place
    state: done
    done_bytes: 0
    total_bytes: 0
    rate: 0
    seconds_left:
    message: The seed 20261122T101500Z is in place.
    updated: 1795378982
age:
  description: Seconds since the file was written, by the host's clock. Null where there is none.
  returned: success
  type: float
  sample: 0.8
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import (
    WAITING_OPTIONS,
)


def look(path: Path) -> tuple[dict[str, Any] | None, float | None]:
    """The file's content and its age; a file that is being rewritten has no content for a moment."""
    try:
        age = max(0.0, time.time() - path.stat().st_mtime)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, None
    try:
        content = json.loads(text)
    except ValueError:
        return None, age
    return (content if isinstance(content, dict) else None), age


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "stale_timeout": {"type": "float", "default": 300},
            **WAITING_OPTIONS,
        },
        supports_check_mode=True,
    )
    try:
        progress, age = look(Path(module.params["path"]))
    except OSError as exc:
        module.fail_json(msg=f"{module.params['path']} cannot be read: {exc.strerror}.")
    module.exit_json(changed=False, progress=progress, age=age)


if __name__ == "__main__":
    main()
