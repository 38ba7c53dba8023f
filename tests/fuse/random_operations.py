# SPDX-License-Identifier: Apache-2.0
"""A program for a mount: random operations on some files, each compared with a model in memory.

    python random_operations.py DIRECTORY SEED SECONDS [nomap]

Writes anywhere and behind the end, appends, truncates both ways, maps, allocates, renames, syncs,
closes and opens again, reads. An error of a write, a truncate or a sync fails the program: nothing
may be lost. Reads that fail are tried again for a while, as a worker may be starting. Prints what
it did; exits 1 at the first difference.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
import time
from collections import Counter

LARGEST = 3_000_000  # bytes of a file
PATIENCE = 30.0  # s for a read


class File:
    """One file: what it should hold, its descriptors."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.model = bytearray()
        self.fds: list[int] = []
        self.appending = -1
        self.history: list[str] = []
        self.reopen()

    def reopen(self) -> None:
        for fd in (*self.fds, self.appending):
            if fd >= 0:
                os.close(fd)
        flags = os.O_RDWR | os.O_CREAT
        self.fds = [os.open(self.path, flags), os.open(self.path, flags)]
        self.appending = os.open(self.path, flags | os.O_APPEND)

    def fd(self) -> int:
        return random.choice(self.fds)

    def put(self, offset: int, data: bytes) -> None:
        if offset > len(self.model):
            self.model.extend(bytes(offset - len(self.model)))
        self.model[offset : offset + len(data)] = data

    def check(self, offset: int, size: int) -> None:
        expected = bytes(self.model[offset : offset + size])
        found = self.read(offset, size)
        if found != expected:
            at = next(
                (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
                min(len(found), len(expected)),
            )
            raise AssertionError(
                f"{self.path}: byte {offset + at} of {len(self.model)} is wrong, got {len(found)} "
                f"of {len(expected)} bytes at {offset}; {self.story(found, expected, offset)}\n"
                + "\n".join(self.history[-40:])
            )
        length = os.fstat(self.fd()).st_size
        assert length == len(self.model), (
            f"{self.path}: {length} bytes long, not {len(self.model)}\n"
            + "\n".join(self.history[-25:])
        )

    def story(self, found: bytes, expected: bytes, offset: int) -> str:
        """What helps to find out where wrong bytes come from."""
        wrong = [i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b]
        zeros = sum(found[i] == 0 for i in wrong)
        told = (
            [f"{len(wrong)} wrong from {offset + wrong[0]} to {offset + wrong[-1]}"]
            if wrong
            else []
        )
        told.append(f"{zeros} of them zeros, {time.strftime('%H:%M:%S')}, pid {os.getpid()}")
        for seconds in (0, 1, 5):
            time.sleep(seconds)
            fd = os.open(self.path, os.O_RDONLY)
            again = os.pread(fd, len(expected), offset)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            fresh = os.pread(fd, len(expected), offset)
            os.close(fd)
            told.append(f"{seconds} s later {again == expected}, without cache {fresh == expected}")
        return "; ".join(told)

    def read(self, offset: int, size: int) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return os.pread(self.fd(), size, offset)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def size() -> int:
    return random.choice((1, 100, 4096, 5000, 70_000, 200_000, random.randrange(1, 400_000)))


def write(file: File) -> None:
    offset = random.randrange(min(len(file.model) + 50_000, LARGEST))
    data = random.randbytes(size())
    file.history.append(f"write {offset} + {len(data)}")
    rest = memoryview(data)
    while rest:
        done = os.pwrite(file.fd(), rest, offset)
        file.put(offset, rest[:done])
        rest, offset = rest[done:], offset + done


def append(file: File) -> None:
    if len(file.model) < LARGEST:
        data = random.randbytes(random.choice((10, 4096, 30_000)))
        file.history.append(f"append {len(file.model)} + {len(data)}")
        assert os.write(file.appending, data) == len(data)
        file.model.extend(data)


def truncate(file: File) -> None:
    here = len(file.model)
    length = random.choice((0, here // 2, here + 9, random.randrange(LARGEST)))
    if random.random() < 0.5:
        length = max(0, here - random.randrange(1, 9000))
    file.history.append(f"truncate {here} to {length}")
    os.ftruncate(file.fd(), length)
    file.put(length, b"")
    del file.model[length:]


def map_write(file: File) -> None:
    if file.model:
        data = random.randbytes(min(size(), len(file.model)))
        offset = random.randrange(len(file.model) - len(data) + 1)
        file.history.append(f"mapwrite {offset} + {len(data)}")
        with mmap.mmap(file.fd(), len(file.model)) as view:
            view[offset : offset + len(data)] = data
            view.flush()
        file.put(offset, data)


def allocate(file: File) -> None:
    length = min(LARGEST, len(file.model) + random.randrange(100_000))
    file.history.append(f"allocate {length}")
    if length:
        os.posix_fallocate(file.fd(), 0, length)
    file.put(length, b"")


def sync(file: File) -> None:
    file.history.append("sync")
    os.fsync(file.fd())


def close_and_open(file: File) -> None:
    file.history.append("reopen")
    file.reopen()


def rename(file: File) -> None:
    new = file.path.removesuffix(".new") if file.path.endswith(".new") else file.path + ".new"
    file.history.append("rename")
    os.rename(file.path, new)
    file.path = new


def read(file: File) -> None:
    if file.model:
        file.check(random.randrange(len(file.model)), size())


OPERATIONS = {
    write: 40, read: 30, append: 12, truncate: 8, map_write: 8, allocate: 2, sync: 4,
    close_and_open: 3, rename: 1,
}  # fmt: skip


def main() -> int:
    directory, seed, seconds, *words = sys.argv[1:]
    os.chdir(directory)
    random.seed(int(seed))
    files = [File(f"r{seed}-{number}") for number in range(3)]
    weights = {op: n for op, n in OPERATIONS.items() if op is not map_write or "nomap" not in words}
    done: Counter[str] = Counter()
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        (operation,) = random.choices(list(weights), list(weights.values()))
        file = random.choice(files)
        file.history.append(time.strftime("%H:%M:%S"))
        try:
            operation(file)
        except Exception:
            print(f"{operation.__name__} of {file.path} failed after")
            print(*file.history[-25:], sep="\n")
            raise
        done[operation.__name__] += 1
    for file in files:
        file.check(0, LARGEST * 2)
        file.reopen()
        file.check(0, LARGEST * 2)
    print("all right:", dict(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
