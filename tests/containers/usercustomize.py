# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""On the lab's hosts: Python compiles what is in a zip file once, and not again in every process.

Ansible sends each module as such a file with the same forty others in it, and compiling those is
half of what a task costs a host.
"""

import _imp
import contextlib
import marshal
import os
import zipimport
from types import CodeType

CACHE = "/var/cache/lab-python"
_compile = zipimport._compile_source  # type: ignore[attr-defined]


def _compile_once(path: str, source: bytes) -> CodeType:
    name = path.rpartition(".zip/")[2].replace("/", ".")
    kept = f"{CACHE}/{name}.{_imp.source_hash(0, source).hex()}"  # type: ignore[attr-defined]
    with contextlib.suppress(OSError), open(kept, "rb") as file:
        return marshal.loads(file.read())
    code: CodeType = _compile(path, source)
    with contextlib.suppress(OSError):
        fresh = f"{kept}.{os.getpid()}"
        with open(fresh, "wb") as file:
            marshal.dump(code, file)
        os.replace(fresh, kept)
    return code


zipimport._compile_source = _compile_once  # type: ignore[attr-defined]
