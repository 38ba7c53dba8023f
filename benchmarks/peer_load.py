# SPDX-License-Identifier: Apache-2.0
"""The load that ``peers`` and ``fuse`` put on each file system; a process of its own, which may
hang and be killed.

    peer_load.py TOP ACTION PROCESSES FILES SIZE DIRECTORIES

ACTION is create, read, reread (read without comparing), stat, unlink (the files are shared out
among the processes), write or scan (one process, one file of FILES MiB). Prints operations, or
bytes, per second, from the moment when the first process begins until the last one ends. What is
read is compared.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

CHUNK = 1 << 20
_POOL = random.Random(7).randbytes(2 * CHUNK)


def content(number: int, size: int) -> bytes:
    """The bytes of a file: another piece of the pool for each."""
    begin = number * 4099 % CHUNK
    return _POOL[begin : begin + size]


class SmallFiles:
    """Operations on file ``number`` of the tree."""

    def __init__(self, top: Path, size: int, directories: int) -> None:
        self._top, self._size, self._directories = str(top), size, directories
        self._buffer = [bytearray(size)]

    def make_directories(self) -> None:
        """Before ``create``; not measured."""
        for number in range(self._directories):
            os.mkdir(f"{self._top}/d{number}")

    def _name(self, number: int) -> str:
        return f"{self._top}/d{number % self._directories}/f{number}"

    def create(self, number: int) -> None:
        """A new file with its bytes, closed."""
        fd = os.open(self._name(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, content(number, self._size))
        os.close(fd)

    def read(self, number: int) -> None:
        """Open, read all, close; SystemExit when the bytes are others."""
        fd = os.open(self._name(number), os.O_RDONLY)
        data = os.read(fd, self._size + 1)
        os.close(fd)
        if data != content(number, self._size):
            raise SystemExit(f"{self._name(number)} has other bytes")

    def reread(self, number: int) -> None:
        """Open, read all, close. Nothing is compared, so that the kernel's part is what counts."""
        fd = os.open(self._name(number), os.O_RDONLY)
        got = os.readv(fd, self._buffer)
        os.close(fd)
        if got != self._size:
            raise SystemExit(f"{self._name(number)} has another length")

    def stat(self, number: int) -> None:
        """Its attributes; SystemExit when the length is another."""
        if os.stat(self._name(number)).st_size != self._size:
            raise SystemExit(f"{self._name(number)} has another length")

    def unlink(self, number: int) -> None:
        """Its name goes."""
        os.unlink(self._name(number))


def shared_out(operation: Callable[[int], None], files: int, processes: int) -> float:
    """Operations per second of ``processes`` processes, each with every n-th file in a random order
    (of its own, the same in each run)."""
    ready_out, ready_in = os.pipe()
    go_out, go_in = os.pipe()
    done_out, done_in = os.pipe()
    children = []
    for mine in range(processes):
        pid = os.fork()
        if pid == 0:
            os.close(go_in)
            numbers = list(range(mine, files, processes))
            random.Random(mine).shuffle(numbers)
            os.write(ready_in, b".")
            os.read(go_out, 1)
            began = time.monotonic()
            for number in numbers:
                operation(number)
            os.write(done_in, f"{began} {time.monotonic()}\n".encode())
            os._exit(0)
        children.append(pid)
    for _ in children:
        os.read(ready_out, 1)
    os.close(go_in)
    if any(os.waitpid(pid, 0)[1] for pid in children):
        raise SystemExit("a process of the load failed")
    os.close(done_in)
    with os.fdopen(done_out) as lines:
        spans = [tuple(map(float, line.split())) for line in lines]
    return files / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def write(path: Path, mib: int) -> float:
    """Bytes per second of one sequential writer, close included."""
    began = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for number in range(mib):
        data = content(number, CHUNK)
        while data:
            data = data[os.write(fd, data) :]
    os.close(fd)
    return mib * CHUNK / (time.monotonic() - began)


def scan(path: Path, mib: int) -> float:
    """Bytes per second of one sequential reader; the first and last bytes of each MiB compared."""
    began = time.monotonic()
    fd = os.open(path, os.O_RDONLY)
    buffer = bytearray(CHUNK)
    for number in range(mib):
        filled = 0
        while filled < CHUNK:
            got = os.readv(fd, [memoryview(buffer)[filled:]])
            if not got:
                raise SystemExit(f"{path} ends early")
            filled += got
        whole = content(number, CHUNK)
        if buffer[:64] != whole[:64] or buffer[-64:] != whole[-64:]:
            raise SystemExit(f"{path} has other bytes")
    os.close(fd)
    return mib * CHUNK / (time.monotonic() - began)


def main() -> None:
    """Entry point."""
    top, action = Path(sys.argv[1]), sys.argv[2]
    processes, files, size, directories = map(int, sys.argv[3:7])
    if action in ("write", "scan"):
        print({"write": write, "scan": scan}[action](top / "large", files))
        return
    tree = SmallFiles(top, size, directories)
    if action == "create":
        tree.make_directories()
    print(shared_out(getattr(tree, action), files, processes))


if __name__ == "__main__":
    main()
