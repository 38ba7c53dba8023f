# SPDX-License-Identifier: Apache-2.0
"""POSIX semantics on a real mount, each as a small program that asserts inside the mount."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import python, shell, start_python

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

HEAD = """
import ctypes, errno, fcntl, os, stat, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def refused(number, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as error:
        assert error.errno == number, (errno.errorcode[error.errno], errno.errorcode[number])
    else:
        raise AssertionError("expected " + errno.errorcode[number])
def put(name, data=b""):
    with open(name, "wb") as file:
        file.write(data)
def get(name):
    with open(name, "rb") as file:
        return file.read()
def renameat2(src, dst, flags):
    if libc.renameat2(-100, os.fsencode(src), -100, os.fsencode(dst), flags):
        raise OSError(ctypes.get_errno(), src)
def as_user(uid, call):
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([]); os.setgid(uid); os.setuid(uid); call(); os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True); os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""

CHECKS = {
    "an unlinked open file lives on": """
fd = os.open("f", os.O_CREAT | os.O_RDWR); os.write(fd, b"before"); os.unlink("f")
refused(errno.ENOENT, os.stat, "f"); assert os.listdir() == [] and os.fstat(fd).st_nlink == 0
os.write(fd, b" after"); assert os.pread(fd, 99, 0) == b"before after"
os.ftruncate(fd, 3); os.fsync(fd); assert os.fstat(fd).st_size == 3; os.close(fd)
""",
    "a file renamed over lives on for its reader": """
put("a", b"old" * 50_000); put("b", b"new")
fd = os.open("a", os.O_RDONLY); os.rename("b", "a")
assert get("a") == b"new" and os.pread(fd, 6, 0) == b"oldold" and os.listdir() == ["a"]
assert os.fstat(fd).st_nlink == 0; os.close(fd)
""",
    "a file being written is renamed and goes on": """
fd = os.open("a", os.O_CREAT | os.O_WRONLY); os.write(fd, b"one"); os.rename("a", "b")
os.write(fd, b"two"); os.mkdir("d"); os.rename("b", "d/b"); os.write(fd, b"three")
os.rename("d", "e"); os.write(fd, b"four"); os.ftruncate(fd, 12); os.close(fd)
assert get("e/b") == b"onetwothreef"
""",
    "hard links share one inode": """
put("a", b"x"); os.link("a", "b"); os.mkdir("d"); os.link("b", "d/c")
assert len({os.stat(n).st_ino for n in ("a", "b", "d/c")}) == 1 and os.stat("a").st_nlink == 3
put("b", b"through b"); assert get("d/c") == b"through b"
os.unlink("a"); assert os.stat("b").st_nlink == 2 and get("b") == b"through b"
fd = os.open("b", os.O_RDONLY); os.unlink("b"); os.unlink("d/c")
assert os.read(fd, 99) == b"through b" and os.fstat(fd).st_nlink == 0; os.close(fd)
refused(errno.ENOENT, os.link, "a", "z"); put("f"); refused(errno.EEXIST, os.link, "f", "d")
refused(errno.EPERM, os.link, "d", "dd")
""",
    "rename flags": """
put("a", b"A"); put("b", b"B"); os.mkdir("d")
refused(errno.EEXIST, renameat2, "a", "b", 1); renameat2("a", "b", 2)
assert get("a") == b"B" and get("b") == b"A"
renameat2("a", "d", 2); assert os.path.isdir("a") and get("d") == b"B"
renameat2("d", "n", 1); refused(errno.ENOENT, renameat2, "n", "absent", 2)
refused(errno.EINVAL, renameat2, "n", "b", 4)
""",
    "rename refusals": """
os.mkdir("d"); os.mkdir("e"); put("e/x"); put("f")
refused(errno.ENOTEMPTY, os.rename, "d", "e"); refused(errno.EISDIR, os.rename, "f", "d")
refused(errno.ENOTDIR, os.rename, "d", "f"); refused(errno.EINVAL, os.rename, "d", "d/sub")
os.rmdir("d"); os.mkdir("d"); os.rename("e", "d"); assert os.listdir("d") == ["x"]
""",
    "open flags": """
fd = os.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600); os.write(fd, b"0123456789")
refused(errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)); assert os.stat("f").st_size == 0
a = os.open("f", os.O_WRONLY | os.O_APPEND); b = os.open("f", os.O_WRONLY | os.O_APPEND)
os.write(a, b"one"); os.write(b, b"two"); os.write(a, b"three"); assert get("f") == b"onetwothree"
os.mkdir("d"); refused(errno.EISDIR, os.open, "d", os.O_WRONLY)
refused(errno.ENOTDIR, os.open, "f/x", os.O_RDONLY)
refused(errno.ENOTDIR, os.open, "f", os.O_RDONLY | os.O_DIRECTORY)
os.symlink("f", "l"); refused(errno.ELOOP, os.open, "l", os.O_RDONLY | os.O_NOFOLLOW)
fd = os.open("f", os.O_RDWR | os.O_SYNC); os.write(fd, b"ONE"); os.close(fd)
assert get("f") == b"ONEtwothree"
os.close(os.open("r", os.O_CREAT | os.O_RDONLY)); assert get("r") == b""
""",
    "direct i/o": """
import mmap
buffer = mmap.mmap(-1, 8192); buffer[:] = b"d" * 8192
fd = os.open("f", os.O_CREAT | os.O_RDWR | os.O_DIRECT); assert os.writev(fd, [buffer]) == 8192
buffer[:] = bytes(8192); assert os.preadv(fd, [buffer], 0) == 8192 and buffer[:3] == b"ddd"
os.close(fd); assert get("f") == b"d" * 8192
""",
    "times": """
put("f", b"x"); os.utime("f", ns=(1_000_000_000, 981_173_106_789_000_000))
s = os.stat("f"); assert (s.st_atime_ns, s.st_mtime_ns) == (10**9, 981_173_106_789_000_000)
fd = os.open("f", os.O_RDWR); os.write(fd, b"y"); os.utime(fd, ns=(5 * 10**9, 6 * 10**9))
os.close(fd); time.sleep(1.2); assert os.stat("f").st_mtime_ns == 6 * 10**9
before = os.stat("."); time.sleep(0.01); put("g"); after = os.stat(".")
assert after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns
os.utime("f"); assert abs(os.stat("f").st_mtime - time.time()) < 5
change = os.stat("f").st_ctime_ns; time.sleep(0.01); os.chmod("f", 0o600)
assert os.stat("f").st_ctime_ns > change
os.utime("f", (-5, -7)); assert os.stat("f").st_mtime == -7
""",
    "truncation": """
put("f", b"0123456789"); os.truncate("f", 4); assert get("f") == b"0123"
os.truncate("f", 8); assert get("f") == b"0123" + bytes(4)
fd = os.open("f", os.O_RDWR); os.pwrite(fd, b"abc", 20); os.ftruncate(fd, 22)
assert os.pread(fd, 99, 0) == b"0123" + bytes(16) + b"ab" and os.fstat(fd).st_size == 22
os.close(fd); assert get("f") == b"0123" + bytes(16) + b"ab"
refused(errno.EISDIR, os.truncate, ".", 0); refused(errno.EINVAL, os.truncate, "f", -1)
old = os.stat("f"); time.sleep(0.01); os.truncate("f", 22)
assert os.stat("f").st_mtime_ns > old.st_mtime_ns
""",
    "allocation and holes": """
fd = os.open("f", os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, 10_000)
assert os.fstat(fd).st_size == 10_000 and os.lseek(fd, 5, os.SEEK_DATA) == 5
assert os.lseek(fd, 5, os.SEEK_HOLE) == 10_000
refused(errno.ENXIO, os.lseek, fd, 10_000, os.SEEK_DATA)
assert libc.fallocate(fd, 1, 0, ctypes.c_long(50_000)) == 0 and os.fstat(fd).st_size == 10_000
""",
    "names": """
for name in ("n" * 255, "ü" * 127, b"caf\\xe9\\xff", "a*b?[c]{d}\\\\ ", "\\u200b", "\\uf7e9"):
    put(name, os.fsencode(name)); assert get(name) == os.fsencode(name)
assert len(os.listdir(b".")) == 6 and b"caf\\xe9\\xff" in os.listdir(b".")
for name in os.listdir(b"."):
    os.rename(name, name[:-1]); os.unlink(name[:-1])
refused(errno.ENAMETOOLONG, open, "n" * 256, "w"); refused(errno.ENAMETOOLONG, os.mkdir, "ü" * 128)
refused(errno.ENOENT, os.stat, "missing"); os.mkdir("a*"); put("a*/b"); put("ab")
assert os.listdir("a*") == ["b"]
""",
    "symbolic links": """
os.symlink("../x y/ü", "l"); assert os.readlink("l") == "../x y/ü"
assert os.lstat("l").st_size == len("../x y/ü".encode()) and stat.S_ISLNK(os.lstat("l").st_mode)
os.symlink(b"\\xff" * 4000, "long"); assert os.readlink(b"long") == b"\\xff" * 4000
put("t", b"T"); os.symlink("t", "s"); assert get("s") == b"T"
refused(errno.EEXIST, os.symlink, "t", "s")
os.lchown("s", 12, 34); assert (os.lstat("s").st_uid, os.stat("t").st_uid) == (12, 0)
os.utime("s", (1, 2), follow_symlinks=False); assert os.lstat("s").st_mtime == 2
""",
    "special files": """
import socket
os.mkfifo("p", 0o640); assert stat.filemode(os.stat("p").st_mode) == "prw-r-----"
os.mknod("c", stat.S_IFCHR | 0o600, os.makedev(1, 3))
assert os.stat("c").st_rdev == os.makedev(1, 3)
server = socket.socket(socket.AF_UNIX); server.bind("sock"); server.listen()
client = socket.socket(socket.AF_UNIX); client.connect("sock")
if not os.fork():
    os.close(os.open("p", os.O_WRONLY)); os._exit(0)
assert open("p").read() == ""; os.wait(); os.unlink("p"); os.unlink("sock")
""",
    "extended attributes": """
put("f"); os.setxattr("f", "user.a", b"1\\0\\xff"); os.setxattr("f", "user.b", b"")
assert os.getxattr("f", "user.a") == b"1\\0\\xff"
assert sorted(os.listxattr("f")) == ["user.a", "user.b"]
refused(errno.EEXIST, os.setxattr, "f", "user.a", b"", os.XATTR_CREATE)
refused(errno.ENODATA, os.setxattr, "f", "user.c", b"", os.XATTR_REPLACE)
os.removexattr("f", "user.a"); refused(errno.ENODATA, os.getxattr, "f", "user.a")
os.rename("f", "g"); assert os.getxattr("g", "user.b") == b""
""",
    "permissions": """
os.chmod(".", 0o777); put("f", b"secret"); os.chmod("f", 0o600); put("s"); os.chmod("s", 0o4755)
def other():
    refused(errno.EACCES, open, "f", "rb"); refused(errno.EPERM, os.chmod, "f", 0o666)
    put("mine", b"m"); assert os.stat("mine").st_uid == 4711
    refused(errno.EPERM, os.chown, "mine", 0, -1)
    os.mkdir("sticky/theirs")
as_user(4711, lambda: None); os.mkdir("sticky"); os.chmod("sticky", 0o1777); put("sticky/r")
as_user(4711, other)
as_user(4712, lambda: refused(errno.EPERM, os.unlink, "sticky/r"))
os.chmod("s", 0o4777); as_user(4711, lambda: put("s", b"x"))
assert stat.S_IMODE(os.stat("s").st_mode) == 0o777
put("k"); os.chmod("k", 0o6755); os.chown("k", 4711, 4711)
assert stat.S_IMODE(os.stat("k").st_mode) == 0o755
os.mkdir("g"); os.chown("g", 0, 4711); os.chmod("g", 0o2777); put("g/x"); os.mkdir("g/y")
assert os.stat("g/x").st_gid == 4711 and os.stat("g/y").st_mode & 0o2000
mask = os.umask(0o027); put("u"); os.mkdir("v"); os.umask(mask)
assert stat.S_IMODE(os.stat("u").st_mode) == 0o640 and stat.S_IMODE(os.stat("v").st_mode) == 0o750
""",
    "directories": """
os.makedirs("a/b/c"); assert os.stat("a").st_nlink == 3 and os.stat("a/b/c").st_nlink == 2
refused(errno.ENOTEMPTY, os.rmdir, "a"); put("f"); refused(errno.ENOTDIR, os.rmdir, "f")
refused(errno.EEXIST, os.mkdir, "a"); fd = os.open("a/b/c", os.O_RDONLY); os.rmdir("a/b/c")
assert os.listdir(fd) == [] and os.fstat(fd).st_nlink == 0
refused(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd); os.close(fd)
refused(errno.EINVAL, os.rmdir, "."); refused(errno.EISDIR, os.unlink, "a")
assert os.stat("a/b/..").st_ino == os.stat("a").st_ino
""",
    "listing while deleting and seeking": """
libc.opendir.restype = ctypes.c_void_p; libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
for i in range(3000): os.close(os.open(f"f{i:04}", os.O_CREAT | os.O_WRONLY))
d = ctypes.c_void_p(libc.opendir(b"."))
def entry():
    p = libc.readdir(d); return ctypes.string_at(p + 19).decode() if p else None
seen = []
while name := entry():
    if name not in (".", ".."):
        if len(seen) == 1500: mark = libc.telldir(d)
        seen.append(name)
        if len(seen) % 2: os.unlink(name)
assert seen == [f"f{i:04}" for i in range(3000)], len(seen)
libc.seekdir(d, ctypes.c_long(mark)); again = []
while name := entry(): again.append(name)
again = [n for n in again if os.path.exists(n)]  # POSIX: removed names may be given, or not
assert again[:2] == ["f1501", "f1503"] and len(again) == 750, (again[:3], len(again))
libc.rewinddir(d); assert sum(1 for _ in iter(entry, None)) == 1502
assert len(os.listdir()) == 1500
""",
    "locks": """
put("f", b"0123456789"); fd = os.open("f", os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)
def other():
    mine = os.open("f", os.O_RDWR)
    refused(errno.EAGAIN, fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 4)
    fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 6)
    refused(errno.EAGAIN, fcntl.flock, mine, fcntl.LOCK_SH | fcntl.LOCK_NB)
fcntl.flock(fd, fcntl.LOCK_EX); os.chmod("f", 0o666); as_user(4711, other)
""",
    "reads see writes of the same mount at once": """
put("f", b"a" * 100_000); reader = os.open("f", os.O_RDONLY); assert os.pread(reader, 1, 0) == b"a"
writer = os.open("f", os.O_RDWR)
for i in range(20):
    os.pwrite(writer, b"%05d" % i, i * 4999); assert os.pread(reader, 5, i * 4999) == b"%05d" % i
os.pwrite(writer, b"tail", 100_000); assert os.pread(reader, 9, 99_998) == b"aatail"
assert os.fstat(reader).st_size == 100_004
""",
    "copying inside the kernel": """
put("f", os.urandom(300_000)); a = os.open("f", os.O_RDONLY)
b = os.open("g", os.O_CREAT | os.O_RDWR)
assert os.copy_file_range(a, b, 300_000) == 300_000; assert get("g") == get("f")
c = os.open("h", os.O_CREAT | os.O_WRONLY); os.lseek(a, 0, 0)
assert os.sendfile(c, a, 0, 200_000) == 200_000
os.close(c); assert get("h") == get("f")[:200_000]
""",
}


@pytest.mark.parametrize("check", CHECKS)
def test_posix(check: str, place: Path) -> None:
    python(HEAD + CHECKS[check], place)


def test_nothing_is_left_in_the_directory_of_orphans(shared_mount: MiniMount) -> None:
    shell(
        "test ! -e .curvine.orphans; ls -A | grep -q orphans && exit 1 || true", shared_mount.target
    )


def test_orphans_of_a_dead_session_are_swept_by_the_next(tmp_path: Path) -> None:
    code = """
import os, sys
os.chdir(os.environ["M"])
fd = os.open("f", os.O_CREAT | os.O_RDWR); os.write(fd, b"x"); os.unlink("f")
print("unlinked"); sys.stdin.readline()
"""
    with MiniCluster(tmp_path / "cluster") as cluster:
        mount = MiniMount(cluster.conf_path, tmp_path / "mnt").start()
        child = start_python(code, tmp_path / "mnt")
        assert child.stdout is not None
        assert child.stdout.readline() == "unlinked\n"
        with BlockingFileSystem(cluster.conf()) as files:
            (session,) = files.list("/.curvine.orphans")
            assert len(files.list(session.path)) == 1
            for pid in (mount.pid, *mount.server_pids()):
                os.kill(pid, signal.SIGKILL)
            mount.stop()
            child.kill()
            child.communicate()
            with MiniMount(cluster.conf_path, tmp_path / "mnt") as again:
                shell("ls", again.target)
                deadline = time.monotonic() + 10
                while files.exists(session.path):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
