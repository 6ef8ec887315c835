# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Show a text as it is: a table stays a table."""

from __future__ import annotations

import re
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils import color

# The sequences that colour text on a terminal (ECMA-48: SELECT GRAPHIC RENDITION).
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Whatever else a terminal would obey; a text may quote what a server, or whoever writes to one, said.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)")


def shown_as(text: str, coloured: bool) -> str:
    """The text as a terminal may have it."""
    harmless = _CONTROL.sub("", text)
    return harmless if coloured else _COLOURS.sub("", harmless)


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]
    """The action plugin: show_text on the controller."""

    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(  # type: ignore[no-untyped-call]
            argument_spec={"text": {"type": "str", "required": True}}
        )
        plain = shown_as(options["text"], coloured=False)
        # Ansible's own choice: a terminal, unless ANSIBLE_NOCOLOR or NO_COLOR, or forced.
        if color.ANSIBLE_COLOR:
            self._display.display(shown_as(options["text"], coloured=True), screen_only=True)
            self._display.display(plain, log_only=True)
        else:
            self._display.display(plain)
        result.update(changed=False)
        return result
