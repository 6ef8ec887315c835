# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation gate."""

from __future__ import annotations

import shutil

from tests.gates.environments import environment
from tests.gates.paths import CACHE, CHECKOUT

CONF = """\
project = "hmm.pg_replication"
extensions = ["sphinx_antsibull_ext"]
html_theme = "sphinx_ansible_theme"
highlight_language = "YAML+Jinja"
"""

# Labels of Ansible's own site that the pages refer to; without them Sphinx would warn.
ELSEWHERE = """\
:orphan:

.. _action_plugins:
.. _ansible_collections.community.postgresql.postgresql_pg_hba_module:
.. _ansible_configuration_settings:
.. _common_return_values:

Ansible's own documentation
===========================

This is explained at https://docs.ansible.com.
"""


def docs() -> str | None:
    main = environment("main")
    main.run(
        "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        "--validate-collection-refs=self",
        ".",
        folder=CHECKOUT,
    )
    if not any((CHECKOUT / "plugins" / "modules").glob("*.py")):
        return "no site yet: there is no module"
    folder = CACHE / "site"
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    pages.mkdir(parents=True, mode=0o755)
    main.run(
        "antsibull-docs",
        "collection",
        "--use-current",
        "--squash-hierarchy",
        "--fail-on-error",
        "--dest-dir",
        pages,
        "hmm.pg_replication",
    )
    (pages / "conf.py").write_text(CONF)
    (pages / "elsewhere.rst").write_text(ELSEWHERE)
    main.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", pages, folder / "html")
    return f"the site is {(folder / 'html' / 'index.html').relative_to(CHECKOUT)}"
