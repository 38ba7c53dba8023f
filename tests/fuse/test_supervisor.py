# SPDX-License-Identifier: Apache-2.0
"""The supervisor with a small real server and real mounts; every access is a child with a limit."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curvine.fuse import mount
from curvine.fuse.launch import MountPlan, Plan, put_document
from curvine.fuse.mountpoint import Failed, release
from fuse.small_server import CONTENT

pytestmark = pytest.mark.fuse

SERVER = Path(__file__).with_name("small_server.py")
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


class Mounted:
    """A supervisor under test."""

    def __init__(
        self, point: Path, log: Path, conf: dict[str, Any], prefix: tuple[str, ...], **plan: Any
    ) -> None:
        self.point = point
        self.log = log
        fields = {"target": str(point), "data": ("allow_other",), **plan.pop("mount", {})}
        command = (sys.executable, str(SERVER))
        full = Plan(MountPlan(**fields), command, conf, **{"stop_timeout": 5.0, **plan})
        document = put_document(full, "plan")
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *prefix,
                    sys.executable,
                    "-m",
                    "curvine.fuse.supervisor",
                    "--plan-fd",
                    str(document),
                ],
                pass_fds=[document],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        os.close(document)

    def text(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> None:
        until(lambda: "ready mnt=" in self.text() or self.process.poll() is not None)
        assert "ready mnt=" in self.text(), self.text()

    def server_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        # One that was killed has a successor, as long as the supervisor lives.
        until(lambda: self.process.poll() is not None or children.read_text().split())
        return int(children.read_text().split()[0])

    def shell(self, script: str, timeout: float = 10.0) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", script], cwd="/", timeout=timeout, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}: {done.stderr}\n{self.text()}"
        return done.stdout

    def sha(self, name: str) -> str:
        return self.shell(f"sha256sum {self.point}/{name}").split()[0]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        while mount.topmost(str(self.point)):
            subprocess.run(["umount", "-l", str(self.point)], timeout=10, check=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Mounted]]:
    started: list[Mounted] = []
    content = tmp_path / "content"
    content.write_bytes(CONTENT)

    def make(
        conf: dict[str, Any] | None = None, prefix: tuple[str, ...] = (), **plan: Any
    ) -> Mounted:
        conf = {"mark": str(tmp_path / "mark"), "file": str(content), **(conf or {})}
        log = tmp_path / f"log-{len(started)}"
        started.append(Mounted(tmp_path / "mnt", log, conf, prefix, **plan))
        return started[-1]

    yield make
    for one in started:
        one.end()


def test_mounts_serves_and_ends_on_sigterm(start: Callable[..., Mounted]) -> None:
    mounted = start()
    mounted.wait_ready()
    entry = mount.topmost(str(mounted.point))
    assert entry and (entry.fstype, entry.source) == ("fuse.curvinefs", "curvinefs")
    read_ahead = Path(f"/sys/class/bdi/{entry.device}/read_ahead_kb").read_text()
    assert read_ahead.strip() == "1024"
    assert mounted.shell(f"ls {mounted.point}").split() == ["data", "pass", "slow"]
    assert mounted.sha("data") == mounted.sha("pass") == DIGEST
    mounted.process.send_signal(signal.SIGTERM)
    assert mounted.process.wait(10) == 0
    assert mount.topmost(str(mounted.point)) is None


def test_sigterm_while_a_file_is_open(start: Callable[..., Mounted]) -> None:
    mounted = start()
    mounted.wait_ready()
    holder = subprocess.Popen(
        ["/bin/sh", "-c", f"exec 3<{mounted.point}/data; echo open; exec sleep 30"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout and holder.stdout.readline() == b"open\n"
    try:
        mounted.process.send_signal(signal.SIGINT)
        assert mounted.process.wait(10) == 0
        assert mount.topmost(str(mounted.point)) is None
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()


def test_supervisor_stays_small(start: Callable[..., Mounted]) -> None:
    mounted = start()
    mounted.wait_ready()
    status = Path(f"/proc/{mounted.process.pid}/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    assert int(own.split()[1]) < 10_000  # kB
    maps = Path(f"/proc/{mounted.process.pid}/maps").read_text()
    assert "upb" not in maps and "uvloop" not in maps and "asyncio" not in maps


def test_a_blocked_read_survives_kill_9_of_the_server(
    start: Callable[..., Mounted], tmp_path: Path
) -> None:
    mounted = start()
    mounted.wait_ready()
    assert mounted.sha("data") == DIGEST
    passthrough = subprocess.Popen(
        ["/bin/sh", "-c", f"exec 3<{mounted.point}/pass; echo open; read go; sha256sum <&3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert passthrough.stdout and passthrough.stdout.readline() == b"open\n"
    reader = subprocess.Popen(
        ["sha256sum", f"{mounted.point}/slow"], stdout=subprocess.PIPE, text=True
    )
    mark = tmp_path / "mark"
    until(lambda: mark.exists() and mark.read_text())
    os.kill(int(mark.read_text()), signal.SIGKILL)
    answer, _ = reader.communicate(timeout=15)
    assert reader.returncode == 0 and answer.split()[0] == DIGEST, mounted.text()
    # An open passthrough handle outlives its server, and other names go on working.
    answer_bytes, _ = passthrough.communicate(b"go\n", timeout=15)
    assert answer_bytes.split()[0].decode() == DIGEST
    assert mounted.sha("data") == mounted.sha("pass") == DIGEST
    assert "has taken over (restart 1)" in mounted.text()
    mounted.process.send_signal(signal.SIGTERM)
    assert mounted.process.wait(10) == 0


def test_clones_serve_too_and_survive(start: Callable[..., Mounted]) -> None:
    mounted = start(devices=3)
    mounted.wait_ready()
    assert mounted.sha("data") == DIGEST
    os.kill(mounted.server_pid(), signal.SIGKILL)
    assert mounted.sha("pass") == DIGEST
    assert mounted.shell(f"stat -c %s {mounted.point}/data").strip() == str(len(CONTENT))


def test_readers_notice_nothing_of_several_crashes(start: Callable[..., Mounted]) -> None:
    mounted = start({"direct": True}, devices=2)
    mounted.wait_ready()
    script = f"for i in $(seq 60); do sha256sum {mounted.point}/data; sleep 0.01; done"
    readers = [
        subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for _ in range(4):
        time.sleep(0.25)
        os.kill(mounted.server_pid(), signal.SIGKILL)
    for reader in readers:
        lines = reader.communicate(timeout=30)[0].splitlines()
        assert len(lines) == 60 and {line.split()[0] for line in lines} == {DIGEST}


def test_sigusr1_replaces_the_server(start: Callable[..., Mounted]) -> None:
    mounted = start()
    mounted.wait_ready()
    before = mounted.server_pid()
    mounted.process.send_signal(signal.SIGUSR1)
    until(lambda: "has taken over" in mounted.text())
    assert mounted.server_pid() != before and mounted.sha("data") == DIGEST


def test_without_resend_a_crash_ends_in_a_new_mount(start: Callable[..., Mounted]) -> None:
    mounted = start(resend=False)
    mounted.wait_ready()
    os.kill(mounted.server_pid(), signal.SIGKILL)
    until(lambda: mounted.text().count("ready mnt=") == 2)
    assert "detaching and mounting again" in mounted.text()
    assert mounted.sha("data") == DIGEST


def test_an_endless_crash_gives_up(start: Callable[..., Mounted]) -> None:
    mounted = start(max_restarts=2)
    mounted.wait_ready()
    while mounted.process.poll() is None:
        try:
            os.kill(mounted.server_pid(), signal.SIGKILL)
        except (IndexError, FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(0.05)
    assert mounted.process.returncode == 1
    assert "ERROR: the FUSE server ended 3 times" in mounted.text()
    assert mount.topmost(str(mounted.point)) is None


@pytest.mark.parametrize("flag", ["", "-l"])
def test_external_umount_ends_it_with_0(start: Callable[..., Mounted], flag: str) -> None:
    mounted = start()
    mounted.wait_ready()
    mounted.shell(f"umount {flag} {mounted.point}")
    assert mounted.process.wait(10) == 0
    assert "was unmounted" in mounted.text()


def test_release_takes_our_mounts_and_no_others(start: Callable[..., Mounted]) -> None:
    mounted = start()
    mounted.wait_ready()
    holder = subprocess.Popen(["sleep", "30"], cwd=mounted.point)
    try:
        with pytest.raises(Failed, match="busy"):
            release(str(mounted.point))
        assert release(str(mounted.point), lazy=True)
        assert not release(str(mounted.point))
    finally:
        holder.kill()
        holder.wait(10)
    assert mounted.process.wait(10) == 0
    with pytest.raises(Failed, match="not of Curvine"):
        release("/proc")


def test_a_dead_mount_is_detached_first(start: Callable[..., Mounted]) -> None:
    dead = start()
    dead.wait_ready()
    server = dead.server_pid()
    dead.process.kill()
    dead.process.wait(10)
    os.kill(server, signal.SIGKILL)
    until(lambda: mount.is_dead(str(dead.point)))
    mounted = start()
    mounted.wait_ready()
    assert "detached 1 dead mount" in mounted.text()
    assert mounted.sha("data") == DIGEST


def test_a_working_foreign_mount_is_left_alone(start: Callable[..., Mounted]) -> None:
    first = start()
    first.wait_ready()
    second = start()
    assert second.process.wait(10) == 1
    assert "ERROR: " in second.text() and "already has a working FUSE mount" in second.text()
    assert first.sha("data") == DIGEST
    stacked = start(mount={"stack": True})
    stacked.wait_ready()
    stacked.process.send_signal(signal.SIGTERM)
    assert stacked.process.wait(10) == 0
    assert first.sha("data") == DIGEST


def test_several_mounts_are_one_tree(start: Callable[..., Mounted]) -> None:
    mounted = start(mount={"number": 2})
    mounted.wait_ready()
    assert mounted.sha("mnt-0/data") == mounted.sha("mnt-1/data") == DIGEST
    mounted.process.send_signal(signal.SIGTERM)
    assert mounted.process.wait(10) == 0
    assert not [e for e in mount.mount_table() if e.point.startswith(str(mounted.point))]


@pytest.mark.parametrize(
    ("conf", "text"),
    [({"fail": "no master answers"}, "ERROR: no master answers"), ({"crash": True}, "ERROR: ")],
)
def test_a_server_that_cannot_start(
    start: Callable[..., Mounted], conf: dict[str, Any], text: str
) -> None:
    mounted = start(conf)
    assert mounted.process.wait(10) == 1
    assert text in mounted.text()
    assert mount.topmost(str(mounted.point)) is None


def test_a_directory_with_files_is_refused(start: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "file").write_text("x")
    mounted = start()
    assert mounted.process.wait(10) == 1
    assert "is not empty" in mounted.text()


def test_the_server_ends_when_its_supervisor_is_gone(start: Callable[..., Mounted]) -> None:
    mounted = start()
    mounted.wait_ready()
    server = mounted.server_pid()
    mounted.process.kill()
    mounted.process.wait(10)
    until(lambda: not Path(f"/proc/{server}").exists() or "Z" in state(server))


def test_sighup_reaches_the_server_and_its_notifications_the_kernel(
    start: Callable[..., Mounted], tmp_path: Path
) -> None:
    mounted = start()
    mounted.wait_ready()

    def look() -> int:
        mounted.shell(f"stat {mounted.point}/data")
        return mounted.text().count("lookup data")

    assert look() == look() == 1
    mounted.process.send_signal(signal.SIGHUP)
    until(lambda: look() == 2)
    # A READ of /slow in flight blocks its invalidation: the thread waits, the loop does not.
    reader = subprocess.Popen(["cat", f"{mounted.point}/slow"], stdout=subprocess.DEVNULL)
    until((tmp_path / "mark").exists)
    mounted.process.send_signal(signal.SIGHUP)
    until(lambda: look() == 3)
    # That thread cannot even be killed before the READ is answered: the server stays half dead.
    os.kill(mounted.server_pid(), signal.SIGKILL)
    assert reader.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
def test_stopping_while_a_notification_is_stuck(
    start: Callable[..., Mounted], tmp_path: Path, number: int
) -> None:
    mounted = start({"always": True}, stop_timeout=1.0)
    mounted.wait_ready()
    mounted.shell(f"stat {mounted.point}/slow")
    reader = subprocess.Popen(["cat", f"{mounted.point}/slow"], stderr=subprocess.DEVNULL)
    until((tmp_path / "mark").exists)
    mounted.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)  # for the thread to be in the kernel
    server = mounted.server_pid()
    if number == signal.SIGKILL:
        os.kill(server, signal.SIGKILL)
    mounted.process.send_signal(signal.SIGTERM)
    assert mounted.process.wait(20) == 0
    assert reader.wait(10) != 0
    until(lambda: state(server) == "Z")


def test_a_server_that_does_not_stop_is_killed(start: Callable[..., Mounted]) -> None:
    mounted = start({"deaf": True}, stop_timeout=0.5)
    mounted.wait_ready()
    holder = subprocess.Popen(["sleep", "30"], cwd=mounted.point)
    try:
        mounted.process.send_signal(signal.SIGTERM)
        assert mounted.process.wait(10) == 0
        assert "did not stop within" in mounted.text()
        assert mount.topmost(str(mounted.point)) is None
    finally:
        holder.kill()
        holder.wait(10)


def test_as_pid_1_it_reaps_what_is_left_to_it(start: Callable[..., Mounted]) -> None:
    mounted = start({"orphan": True}, prefix=("unshare", "--pid", "--fork", "--kill-child"))
    mounted.wait_ready()
    children = Path(f"/proc/{mounted.process.pid}/task/{mounted.process.pid}/children")
    first = int(children.read_text())
    below = Path(f"/proc/{first}/task/{first}/children")
    until(lambda: len(below.read_text().split()) == 1)  # the server alone, no zombie
    os.kill(first, signal.SIGTERM)
    assert mounted.process.wait(10) == 0
    assert mount.topmost(str(mounted.point)) is None


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return "Z"
