# SPDX-License-Identifier: Apache-2.0
"""Two mounts of one cluster on the same files: removing, renaming, appending; inode flags."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import python

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

BELIEF = ("--attr-timeout-ms", "50", "--entry-timeout-ms", "50")
HEAD = """
import errno, fcntl, os, struct, sys, time
A, B = os.getcwd(), sys.argv[1]
def put(path, data):
    with open(path, "wb") as file: file.write(data)
def get(path):
    with open(path, "rb") as file: return file.read()
def refused(number, call, *args):
    try:
        call(*args)
    except OSError as error:
        assert error.errno == number, (errno.errorcode[error.errno], errno.errorcode[number])
    else:
        raise AssertionError("expected " + errno.errorcode[number])
def forget_attributes(): time.sleep(0.06)  # what the kernel believes without asking
"""

CHECKS = {
    "a file that the other mount removes stays readable": """
for size in (7, 300_000, 9_000_000):
    data = os.urandom(size); put("f", data); fd = os.open(B + "/f", os.O_RDONLY)
    assert os.pread(fd, 1, 0) == data[:1]; os.unlink("f"); forget_attributes()
    assert os.pread(fd, size, 0) == data
    assert (os.fstat(fd).st_size, os.fstat(fd).st_nlink) == (size, 0); os.close(fd)
    refused(errno.ENOENT, os.stat, B + "/f")
""",
    "a file that the other mount renames over stays readable": """
for size in (7, 300_000):
    data = os.urandom(size); put("f", data); put("g", b"new")
    fd = os.open(B + "/f", os.O_RDONLY); os.pread(fd, 1, 0); os.rename("g", "f")
    forget_attributes(); assert os.pread(fd, size, 0) == data and os.fstat(fd).st_nlink == 0
    assert get(B + "/f") == b"new"; os.close(fd)
""",
    "a file being written may be removed by the other mount": """
fd = os.open(B + "/f", os.O_CREAT | os.O_RDWR); os.write(fd, b"one"); os.unlink("f")
forget_attributes(); os.write(fd, b"two"); assert os.pread(fd, 9, 0) == b"onetwo"
os.fsync(fd); os.close(fd); refused(errno.ENOENT, os.stat, B + "/f"); assert os.listdir() == []
""",
    "a late write never reaches the file that took the place": """
put("f", b"old"); fd = os.open(B + "/f", os.O_RDWR); put("g", b"new"); os.rename("g", "f")
forget_attributes()
for change in (lambda: os.pwrite(fd, b"X", 0), lambda: os.ftruncate(fd, 0)):
    refused(errno.ESTALE, change)
os.close(fd); assert get("f") == b"new" == get(B + "/f")
""",
    "a file being written may be renamed by the other mount": """
fd = os.open(B + "/f", os.O_CREAT | os.O_RDWR); os.write(fd, b"one"); os.rename("f", "g")
os.write(fd, b"two"); os.close(fd); assert get("g") == b"onetwo"
""",
    "two mounts append by turns": """
put("f", b""); ends = [os.open(r + "/f", os.O_WRONLY | os.O_APPEND) for r in (A, B)]
for i in range(10):
    os.write(ends[i % 2], b"%d" % i); os.fsync(ends[i % 2])
for fd in ends: os.close(fd)
forget_attributes(); assert get("f") == b"0123456789" == get(B + "/f")
""",
    "stretches of zeros": """
libc = __import__("ctypes").CDLL(None, use_errno=True)
import ctypes
def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")
put("f", b"x" * 10_000); fd = os.open("f", os.O_RDWR)
fallocate(fd, 1 | 2, 100, 50); fallocate(fd, 16, 9_990, 20); fallocate(fd, 1 | 16, 0, 1 << 20)
assert os.fstat(fd).st_size == 10_010 and get("f") == bytes(10_010)
put("f", b"x" * 100); fallocate(fd, 1 | 2, 50, 1 << 20); assert get("f") == b"x" * 50 + bytes(50)
fallocate(fd, 1, 0, 1 << 20); assert os.fstat(fd).st_size == 100
for mode in (8, 32, 64): refused(errno.EOPNOTSUPP, fallocate, fd, mode, 0, 4096)
os.close(fd); assert get(B + "/f")[:50] == b"x" * 50
""",
    "holes of a sparse file are found": """
fd = os.open("f", os.O_CREAT | os.O_RDWR); os.pwrite(fd, b"e" * 8192, 4 << 20); os.close(fd)
fd = os.open("f", os.O_RDONLY); assert os.lseek(fd, 0, os.SEEK_DATA) in (0, 4 << 20)
assert os.lseek(fd, 4 << 20, os.SEEK_HOLE) == (4 << 20) + 8192
refused(errno.ENXIO, os.lseek, fd, (4 << 20) + 8192, os.SEEK_DATA)
""",
    "immutable and append-only": """
def flags(name, value):
    fd = os.open(name, os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, struct.pack("L", value)); os.close(fd)
def shown(name):
    fd = os.open(name, os.O_RDONLY)
    value = fcntl.ioctl(fd, 0x80086601, bytes(8)); os.close(fd); return struct.unpack("L", value)[0]
put("f", b"x"); os.mkdir("d"); put("d/in", b""); assert shown("f") == 0; flags("f", 0x10)
assert shown("f") == 0x10
for call, args in ((open, ("f", "wb")), (os.unlink, ("f",)), (os.rename, ("f", "g")),
                   (os.link, ("f", "l")), (os.chmod, ("f", 0o600)), (os.truncate, ("f", 0)),
                   (os.setxattr, ("f", "user.a", b""))):
    refused(errno.EPERM, call, *args)
os.stat(B + "/f"); refused(errno.EPERM, os.unlink, B + "/f"); assert get("f") == b"x"
flags("f", 0x20); refused(errno.EPERM, open, "f", "wb"); refused(errno.EPERM, os.truncate, "f", 0)
open("f", "ab").write(b"y"); os.utime("f"); flags("f", 0); os.unlink("f")
flags("d", 0x10); refused(errno.EPERM, put, "d/new", b""); refused(errno.EPERM, os.unlink, "d/in")
flags("d", 0x20); put("d/new", b""); refused(errno.EPERM, os.unlink, "d/new"); flags("d", 0)
refused(errno.EOPNOTSUPP, flags, "d", 0x80)
""",
    "attributes outside of user and trusted": """
put("f", b""); os.setxattr("f", "trusted.t", b"1")
assert os.getxattr(B + "/f", "trusted.t") == b"1"
for name in ("security.x", "system.x", "bogus.x"):
    refused(errno.EOPNOTSUPP, os.setxattr, "f", name, b"")
refused(errno.ENODATA, os.getxattr, "f", "security.capability")
refused(errno.E2BIG, os.setxattr, "f", "user.a", bytes(65537))
os.setxattr("f", "user.a", bytes(65536))
assert len(os.getxattr(B + "/f", "user.a")) == 65536
refused(errno.ERANGE, os.setxattr, "f", "user." + "n" * 251, b"")
""",
}  # fmt: skip


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MiniMount, MiniMount]]:
    root = tmp_path_factory.mktemp("together")
    with (
        MiniCluster(root / "cluster") as cluster,
        MiniMount(cluster.conf_path, root / "a", arguments=BELIEF) as one,
        MiniMount(cluster.conf_path, root / "b", arguments=BELIEF) as other,
    ):
        yield one, other


@pytest.mark.parametrize("check", CHECKS)
def test_two_mounts(check: str, mounts: tuple[MiniMount, MiniMount]) -> None:
    python("import shutil, os\n[os.path.isdir(n) and shutil.rmtree(n) or os.path.exists(n) and "
           "os.unlink(n) for n in os.listdir()]", mounts[0].target)  # fmt: skip
    python(HEAD + CHECKS[check], mounts[0].target, str(mounts[1].target))
