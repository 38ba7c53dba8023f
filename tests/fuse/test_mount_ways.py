# SPDX-License-Identifier: Apache-2.0
"""The other ways to a mount: mount(8) with its helper, and a user without rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.fuse.mounthelper import command, parse
from curvine.model.inode import SetAttr
from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount, mount_line
from curvine.testing.outside import shell

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

# In a mount namespace of its own, with a /dev/fuse that everybody may open as on most systems.
UNPRIVILEGED = """
set -eu; mknod $D.dev c 10 229; chmod 666 $D.dev; mount --bind $D.dev /dev/fuse
as="setpriv --reuid 65534 --regid 65534 --clear-groups"
$as --inh-caps=+dac_override --ambient-caps=+dac_override "$@" > $D.log 2>&1 & pid=$!
for i in $(seq 200); do grep -q ready $D.log && break; kill -0 $pid; sleep 0.05; done
grep " $D fuse.curvinefs " /proc/mounts
$as sh -c "echo mine > $D/f; cat $D/f"; test $($as stat -c %u $D/f) = 65534
kill -9 $(pgrep -P $pid); $as cat $D/f
kill $pid; wait $pid; ! grep " $D " /proc/mounts; echo ended
"""


@pytest.fixture
def masters(tmp_path: Path) -> Iterator[str]:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            files.set_attr("/", SetAttr(mode=0o777))
        ((host, port), *_) = cluster.conf().client_master_addrs()
        yield f"{host}:{port}"


def helper(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "curvine.fuse.mounthelper", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_mount_by_fstab_line(tmp_path: Path, masters: str) -> None:
    target, log = tmp_path / "mnt", tmp_path / "log"
    source = f"{masters}/data/set"
    options = f"rw,noatime,_netdev,x-systemd.automount,fuse.web_port=0,log={log}"
    done = helper(source, str(target), "-n", "-o", options)
    assert done.returncode == 0, done.stderr
    line = mount_line(target)
    assert line is not None
    assert line.split()[0] == source and line.split()[2] == "fuse.curvinefs"
    assert "noatime" in line
    script = f"echo x > {target}/f && cat {target}/f && umount {target}"
    assert subprocess.check_output(["sh", "-c", script], text=True, timeout=60) == "x\n"
    # mount(8) ends when the mount can be used, and that is when it can be taken away.
    assert helper(source, str(target), "-o", "fuse.web_port=0").returncode == 0
    subprocess.run(["umount", target], check=True, timeout=60)
    again = helper(source, str(target), "-o", "no_such_option")
    assert again.returncode == 32 and "no_such_option is not known" in again.stderr
    assert helper("nowhere").returncode == 1


def test_the_words_of_an_fstab_line() -> None:
    wanted = parse(["/etc/curvine.toml", "/mnt", "-s", "-o", "ro,user,conf=x,client.replicas=2"])
    assert "--readonly=true" in command(wanted) and "--client.replicas=2" in command(wanted)
    assert wanted.options == ("fsname=/etc/curvine.toml",)
    wanted = parse(["h1:8995,h2:8995/p/q", "/mnt", "-o", "allow_other,comment=a,nofail"])
    assert wanted.flags == ("--master-addrs", "h1:8995,h2:8995", "--fs-path", "/p/q")
    assert wanted.options == ("fsname=h1:8995,h2:8995/p/q", "allow_other")


def test_a_user_without_rights_mounts_through_fusermount3(masters: str) -> None:
    if not all(map(shutil.which, ("fusermount3", "setpriv", "unshare"))):
        pytest.skip("UNPRIVILEGED MOUNT WAS NOT TRIED: fusermount3 (package fuse3) is missing")
    open_to_all = Path(tempfile.mkdtemp())  # pytest's own directories are root's alone
    open_to_all.chmod(0o755)
    target = open_to_all / "mnt"
    target.mkdir()
    os.chown(target, 65534, 65534)
    words = [sys.executable, "-m", "curvine.fuse.run", "--master-addrs", masters]
    words += ["--mnt-path", str(target), "--web-port", "0", "--fs-path", "/"]
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", UNPRIVILEGED, "bash", *words],
        env={**os.environ, "D": str(target)}, capture_output=True, text=True, timeout=90,
        check=False, cwd="/",
    )  # fmt: skip
    log = Path(f"{target}.log")
    assert done.returncode == 0, (done, log.exists() and log.read_text())
    shutil.rmtree(open_to_all)
    assert done.stdout.splitlines()[1:] == ["mine", "mine", "ended"]


def test_df_shows_what_the_mounted_directory_holds(tmp_path: Path) -> None:
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, tmp_path / "mnt", fs_path="/data") as mount,
    ):
        shell("mkdir d; head -c 10000000 /dev/zero > d/f; head -c 5000 /dev/zero > g", mount.target)
        with BlockingFileSystem(cluster.conf()) as files:
            files.mkdir("/elsewhere")
        deadline = time.monotonic() + 20  # it may be as old as a second
        while int(shell("df -B1 --output=used . | tail -1", mount.target)) != 10_006_528:
            assert time.monotonic() < deadline
