# SPDX-License-Identifier: Apache-2.0
"""The serving process of a mount is killed again and again under load: nobody on it may notice.

CURVINE_KILLS (3) kills, CURVINE_KILL_PAUSE (1 to 3) seconds apart; the long form of the promise is
CURVINE_KILLS=100 with a pause of 6, ten minutes. FSSTRESS names an installed fsstress to run along.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell

KILLS = int(os.environ.get("CURVINE_KILLS", "3"))
PAUSE = float(os.environ.get("CURVINE_KILL_PAUSE", "0"))
FSSTRESS = os.environ.get("FSSTRESS", "")

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240 + 30 * KILLS)]

FIO = """
while test ! -e {stop}; do
  fio --name=v --directory=. --rw=randrw --bs=16k --size=24m --numjobs=2 --verify=crc32c \\
      --verify_fatal=1 --do_verify=1 --fsync=64 --rwmixread=40 --output=fio.out >/dev/null
  rm -f v.*
done
"""
GIT = """
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
while test ! -e {stop}; do
  git clone -q --no-hardlinks {origin} clone; git -C clone fsck --strict --no-progress
  git -C clone status --porcelain | (! grep .); diff -r {origin}/email clone/email; rm -rf clone
done
"""
STRESS = "while test ! -e {stop}; do {fsstress} -d . -l 1 -n 500 -p 4 -s $RANDOM >/dev/null; done"
LOCAL = """
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
git init -q {origin}; cd {origin}; git config user.email a@b.c; git config user.name n
cp -r {stdlib}/email .; git add -A; git commit -qm first
"""


def start(script: str, where: Path) -> subprocess.Popen[str]:
    inside = f'set -eu -o pipefail; cd "$M"; {script}'
    return subprocess.Popen(
        ["bash", "-c", inside], env={**os.environ, "M": str(where)}, cwd="/", text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
    )  # fmt: skip


def kill_the_server(mount: MiniMount) -> None:
    before = mount.output().count("has taken over")
    (server,) = mount.server_pids()
    os.kill(server, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while mount.output().count("has taken over") == before:
        assert time.monotonic() < deadline, mount.output()[-3000:]
        time.sleep(0.05)


def test_programs_notice_nothing_of_a_server_that_is_killed(tmp_path: Path) -> None:
    origin, stop = tmp_path / "origin", tmp_path / "stop"
    words = {"origin": origin, "stop": stop, "stdlib": sysconfig.get_paths()["stdlib"]}
    shell(LOCAL.format(**words), tmp_path)
    scripts = {"fio": FIO.format(**words), "git": GIT.format(**words)}
    if FSSTRESS:
        scripts["fsstress"] = STRESS.format(stop=stop, fsstress=FSSTRESS)
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, tmp_path / "mnt") as mount,
    ):
        shell(f"mkdir {' '.join(scripts)}", mount.target)
        children = {name: start(text, mount.target / name) for name, text in scripts.items()}
        chance = random.Random(KILLS)
        for count in range(KILLS):
            time.sleep(PAUSE or chance.uniform(1, 3))
            kill_the_server(mount)
            for name, child in children.items():
                if child.poll() is not None:
                    stop.touch()
                    said = child.communicate(timeout=60)[0][-4000:]
                    pytest.fail(f"{name} ended after {count + 1} kills:\n{said}")
        stop.touch()
        for name, child in children.items():
            said = child.communicate(timeout=200)[0]
            assert child.returncode == 0, f"{name}:\n{said[-4000:]}"
    print(f"{KILLS} kills, {mount.output().count('has taken over')} servers", file=sys.stderr)
