# SPDX-License-Identifier: Apache-2.0
"""The generated ``mount-curvine.sh``: clean up, make directories, become curvine-fuse.

The seed's script with its lines in an order that survives a crash, and every path quoted. Source:
the seed document ("FUSE Client Startup"), Fluid contract 0 (rows 9 and 10), 9, 10.1, appendix B.
"""

from __future__ import annotations

import os
import re
import shlex

from curvine.fluid.mount_plan import MountPlan

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")

# stat -f asks the file system itself; plain stat may be answered from the kernel's cache. ENOTCONN
# is what a FUSE mount says whose process is gone. KILL: a process that waits for a FUSE answer
# leaves on nothing less.
_DETACH = """\
# Cleanup previous mounts. The seed's `umount -f` on whatever is mounted here would cut off other
# pods whose mount is alive, and it came after mkdir, which fails on a dead mount. So: first, and
# only mounts whose process is gone.
detach_dead_mounts() {
    local said status
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        status=0
        said=$(LC_ALL=C timeout -s KILL 20 stat -f "$1" 2>&1) || status=$?
        case $status:$said in
            *"Transport endpoint is not connected"*) umount -l "$1" ;;
            124:* | 137:*)
                echo "ERROR: $1 is mounted by a process that does not answer" >&2
                exit 1
                ;;
            *) return 0 ;;
        esac
    done
}
"""


def assignment(text: str) -> str:
    """``text`` as the right side of an assignment: in double quotes like the seed's if plain."""
    return f'"{text}"' if _PLAIN.fullmatch(text) else shlex.quote(text)


def mount_script(
    plan: MountPlan, home: str, conf: str, *, sources: str = "", refresh: str = ""
) -> str:
    """The whole script. ``home`` is CURVINE_HOME, ``conf`` the configuration that was written.

    ``sources`` are the files that it was made of, joined with colons, ``refresh`` the command that
    makes it anew: curvine-fuse follows them while it runs (docs/adr/0010).
    """
    following: tuple[str, ...] = ()
    if sources:
        following = (
            f"export CURVINE_CONF_SOURCE={assignment(sources)}",
            f"export CURVINE_CONF_REFRESH={assignment(refresh)}",
        )
    target = shlex.quote(plan.target)
    arguments = [
        f"--mnt-path {target}",
        f"--mnt-number {plan.mnt_number}",
        '--conf "$CURVINE_CONF_FILE"',
        *(f"--{name} {shlex.quote(value)}" for name, value in plan.flags),
    ]
    command = [f"exec {shlex.quote(os.path.join(home, 'lib', 'curvine-fuse'))}", *arguments]
    return "\n".join((
        "#!/bin/bash",
        "set -ex",
        "",
        f"export CURVINE_HOME={assignment(home)}",
        f"export CURVINE_CONF_FILE={assignment(conf)}",
        *following,
        "",
        _DETACH,
        f"detach_dead_mounts {target}",
        "",
        "# Create necessary directories",
        f"mkdir -p {target}",
        "mkdir -p /tmp/curvine/meta",
        f"mkdir -p {shlex.quote(os.path.join(home, 'logs'))}",
        "",
        "# Start curvine-fuse",
        " \\\n    ".join(command),
        "",
    ))  # fmt: skip
