# SPDX-License-Identifier: Apache-2.0
"""Record locks and flock across two mounts of a cluster, and across the death of a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import python

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

HEAD = """
import errno, fcntl, os, signal, struct, sys, time
A, B = os.getcwd(), sys.argv[1]
EX, SH, UN, NB = fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_UN, fcntl.LOCK_NB
def start(call):
    r, w = os.pipe(); pid = os.fork()
    if not pid:
        try:
            os.write(w, str(call()).encode())
        except OSError as error:
            os.write(w, errno.errorcode[error.errno].encode())
        os._exit(0)
    os.close(w); return r, pid
def result(child):
    text = os.read(child[0], 999).decode(); os.close(child[0]); os.waitpid(child[1], 0); return text
def elsewhere(call): return result(start(call))
def lock(root, how, length=10, offset=0):
    fd = os.open(root + "/f", os.O_RDWR); fcntl.lockf(fd, how, length, offset); return "taken"
def flock(root, how):
    fcntl.flock(os.open(root + "/f", os.O_RDONLY), how); return "taken"
fd = os.open("f", os.O_CREAT | os.O_RDWR)
"""

CHECKS = {
    "a range is taken for both mounts": """
fcntl.lockf(fd, EX, 10, 5)
for root in (A, B):
    assert elsewhere(lambda: lock(root, EX | NB, 10, 0)) == "EAGAIN"
    assert elsewhere(lambda: lock(root, EX | NB, 5, 0)) == "taken"
fcntl.lockf(fd, SH, 10, 5); assert elsewhere(lambda: lock(B, SH | NB)) == "taken"
""",
    "F_GETLK tells who": """
fcntl.lockf(fd, EX, 0, 3)
def ask():
    wanted = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)
    other = os.open(B + "/f", os.O_RDWR)
    return struct.unpack("hhqqi4x", fcntl.fcntl(other, fcntl.F_GETLK, wanted))
assert elsewhere(ask) == str((fcntl.F_WRLCK, 0, 3, 0, os.getpid()))
""",
    "who waits gets it when it is free": """
fcntl.lockf(fd, EX)
waiting = [start(lambda root=root: lock(root, EX)) for root in (A, B)]
fcntl.lockf(fd, UN); assert [result(w) for w in waiting] == ["taken", "taken"]
""",
    "close of any descriptor and exit release": """
fcntl.lockf(fd, EX); os.close(os.open("f", os.O_RDWR))
assert elsewhere(lambda: lock(B, EX | NB)) == "taken"
reading = os.open("f", os.O_RDONLY); fcntl.lockf(reading, SH); os.close(reading)
assert elsewhere(lambda: lock(B, EX)) == "taken"
assert elsewhere(lambda: lock(A, EX)) == "taken" == elsewhere(lambda: lock(B, EX))
""",
    "a signal ends the wait and leaves nothing behind": """
fcntl.lockf(fd, EX)
def wait():
    def gone(*_): raise OSError(errno.EINTR, "alarm")
    signal.signal(signal.SIGALRM, gone); signal.setitimer(signal.ITIMER_REAL, 0.3)
    return lock(B, EX)
assert elsewhere(wait) == "EINTR"
fcntl.lockf(fd, UN); assert elsewhere(lambda: lock(A, EX | NB)) == "taken"
""",
    "a deadlock is refused": """
def cross(first, second, ready, go):
    mine = os.open("f", os.O_RDWR); fcntl.lockf(mine, EX, 1, first)
    os.write(ready, b"x"); os.read(go, 1); fcntl.lockf(mine, EX, 1, second); return "taken"
ready, told = os.pipe(); go, begin = os.pipe()
pair = [start(lambda: cross(1, 2, told, go)), start(lambda: cross(2, 1, told, go))]
os.read(ready, 1); os.read(ready, 1); os.write(begin, b"xx")
assert sorted(result(child) for child in pair) == ["EDEADLOCK", "taken"]
""",
    "flock": """
other = os.open("f", os.O_RDONLY); fcntl.flock(other, EX); second = os.dup(other)
for root in (A, B): assert elsewhere(lambda: flock(root, SH | NB)) == "EAGAIN"
assert elsewhere(lambda: lock(B, EX | NB)) == "taken"
os.close(other); assert elsewhere(lambda: flock(B, SH | NB)) == "EAGAIN"
fcntl.flock(second, SH); assert elsewhere(lambda: flock(B, SH | NB)) == "taken"
waiting = start(lambda: flock(B, EX)); fcntl.flock(second, UN)
assert result(waiting) == "taken"; fcntl.flock(second, EX); os.close(second)
assert elsewhere(lambda: flock(B, EX)) == "taken"
""",
    "locks of an open file description": """
whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
ofd = os.open("f", os.O_RDWR); fcntl.fcntl(ofd, 37, whole)
os.close(os.open("f", os.O_RDWR)); assert elsewhere(lambda: lock(B, EX | NB)) == "EAGAIN"
os.close(ofd); assert elsewhere(lambda: lock(B, EX)) == "taken"
""",
    "renamed and unlinked files keep their locks": """
fcntl.lockf(fd, EX); os.rename("f", "g"); os.rename("g", "f")
assert elsewhere(lambda: lock(B, EX | NB)) == "EAGAIN"
os.unlink("f"); fcntl.lockf(fd, UN); fcntl.lockf(fd, EX, 5)
""",
}


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MiniMount, MiniMount]]:
    root = tmp_path_factory.mktemp("locks")
    with (
        MiniCluster(root / "cluster") as cluster,
        MiniMount(cluster.conf_path, root / "a") as one,
        MiniMount(cluster.conf_path, root / "b") as other,
    ):
        yield one, other


@pytest.mark.parametrize("check", CHECKS)
def test_locks(check: str, mounts: tuple[MiniMount, MiniMount]) -> None:
    python("import os\nif os.path.exists('f'): os.unlink('f')", mounts[0].target)
    python(HEAD + CHECKS[check], mounts[0].target, str(mounts[1].target))


def test_locks_outlive_the_server_that_gave_them(mounts: tuple[MiniMount, MiniMount]) -> None:
    one, other = mounts
    program = (
        HEAD
        + """
fcntl.lockf(fd, EX); kept = os.open("f", os.O_RDWR)
waiting = start(lambda: lock(A, EX)); time.sleep(0.2)
os.kill(int(sys.argv[2]), signal.SIGKILL)
assert elsewhere(lambda: lock(A, EX | NB)) == "EAGAIN" == elsewhere(lambda: lock(B, EX | NB))
fcntl.lockf(fd, UN); assert result(waiting) == "taken"
assert elsewhere(lambda: lock(B, EX | NB)) == "taken"
"""
    )
    (server,) = one.server_pids()
    python(program, one.target, str(other.target), str(server))
    assert one.server_pids() not in ([], [server])
