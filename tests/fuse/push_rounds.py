# SPDX-License-Identifier: Apache-2.0
"""Changes through one mount of a cluster and looks through another: started by test_mount_push.

python push_rounds.py flushed|races ROUNDS SEED LIMIT MOUNT OTHER [TRUTH]

``flushed`` makes one change at a time; ``races`` lets both mounts change the same few names at
once and compares them with TRUTH, a mount that caches nothing. LIMIT: seconds that a change may
take to be seen.
"""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

RACED = ("a", "b", "c", "d/a", "d/b", "e/a", "e/b")
EXPECTED = {
    errno.ENOENT, errno.EEXIST, errno.ESTALE, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip
Listing = dict[str, tuple[int, int, int]]


def content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def put(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


class Flushed:
    """One change through ``w``, looked for through ``r``; which mount is which is diced."""

    def __init__(self, dice: random.Random, limit: float) -> None:
        self.dice = dice
        self.limit = limit
        self.worst = 0.0
        self.number = 0

    def see(self, what: str, expected: object, view: Callable[[], object]) -> None:
        start = time.monotonic()
        while (got := view()) != expected:
            seen = f"{what} in round {self.number}: {got!r:.200} is not {expected!r:.200}"
            assert time.monotonic() - start < self.limit, seen
        self.worst = max(self.worst, time.monotonic() - start)

    def run(self, rounds: int, mounts: tuple[str, str]) -> None:
        ways = (
            self.overwrite, self.flush, self.create_and_unlink, self.rename,
            self.rename_directory, self.attributes,
        )  # fmt: skip
        for self.number in range(rounds):
            w, r = self.dice.sample(mounts, 2)
            self.listing(r)
            self.dice.choice(ways)(w, r)
            self.see("listing", self.listing(w), lambda: self.listing(r))  # noqa: B023  # used now

    def listing(self, root: str) -> Listing:
        found = {}
        for name in sorted(os.listdir(root)):
            try:
                status = os.lstat(os.path.join(root, name))
            except FileNotFoundError:
                continue
            found[name] = (status.st_mode, status.st_size, status.st_ino)
        return found

    def overwrite(self, w: str, r: str) -> None:
        path = f"f{self.dice.randrange(4)}"
        data = os.urandom(self.dice.choice((1, 3000, 3000, 140_000)))
        before = content(f"{r}/{path}")
        held = os.open(f"{r}/{path}", os.O_RDONLY) if before is not None else -1
        if before is not None and len(before) == len(data):
            with open(f"{w}/{path}", "r+b") as file:
                file.write(data)
        else:
            put(f"{w}/{path}", data)
        self.see("content", data, lambda: content(f"{r}/{path}"))
        if held >= 0:
            self.see("held", True, lambda: os.pread(held, 1 << 20, 0) in (before, data))
            os.close(held)

    def flush(self, w: str, r: str) -> None:
        content(f"{r}/log")
        with open(f"{w}/log", "ab") as file:
            for part in (b"one", b"two"):
                file.write(part * self.dice.randrange(1, 500))
                file.flush()
                os.fsync(file.fileno())
                expected = content(f"{w}/log") or b""
                self.see("fsync", expected, lambda: content(f"{r}/log"))
                self.see("size", len(expected), lambda: os.stat(f"{r}/log").st_size)
        if self.dice.randrange(8) == 0:
            os.truncate(f"{w}/log", 0)
            self.see("truncate", b"", lambda: content(f"{r}/log"))

    def create_and_unlink(self, w: str, r: str) -> None:
        name = f"n{self.dice.randrange(3)}"
        assert content(f"{r}/{name}") is None
        put(f"{w}/{name}", b"here")
        self.see("created", b"here", lambda: content(f"{r}/{name}"))
        os.unlink(f"{w}/{name}")
        self.see("removed", None, lambda: content(f"{r}/{name}"))

    def rename(self, w: str, r: str) -> None:
        one, other = (f"f{n}" for n in self.dice.sample(range(4), 2))
        for name in (one, other):
            put(f"{w}/{name}", name.encode())
            self.see("before", name.encode(), lambda: content(f"{r}/{name}"))  # noqa: B023  # now
        os.rename(f"{w}/{one}", f"{w}/{other}")
        self.see("moved", one.encode(), lambda: content(f"{r}/{other}"))
        self.see("moved away", None, lambda: content(f"{r}/{one}"))

    def rename_directory(self, w: str, r: str) -> None:
        here, there = ("d0", "d1") if os.path.isdir(f"{w}/d0") else ("d1", "d0")
        os.makedirs(f"{w}/{here}/deep", exist_ok=True)
        put(f"{w}/{here}/deep/file", here.encode())
        self.see("deep", here.encode(), lambda: content(f"{r}/{here}/deep/file"))
        os.rename(f"{w}/{here}", f"{w}/{there}")
        self.see("deep moved", here.encode(), lambda: content(f"{r}/{there}/deep/file"))
        self.see("deep away", None, lambda: content(f"{r}/{here}/deep/file"))

    def attributes(self, w: str, r: str) -> None:
        mode, when = self.dice.choice((0o600, 0o644, 0o400)), self.dice.randrange(1, 2_000_000_000)
        if content(f"{w}/f0") is None:
            put(f"{w}/f0", b"x")
        os.chmod(f"{w}/f0", mode)
        self.see("mode", mode, lambda: os.stat(f"{r}/f0").st_mode & 0o777)
        os.chmod(f"{w}/f0", 0o644)
        os.utime(f"{w}/f0", (when, when))
        self.see("time", when, lambda: os.stat(f"{r}/f0").st_mtime)


def race_once(root: str, dice: random.Random) -> None:
    name, other = (f"{root}/{n}" for n in dice.sample(RACED, 2))
    way = dice.randrange(15)
    if way < 4:
        os.unlink(name)
    elif way < 8:
        os.rename(name, other)
    elif way < 10:
        with open(name, "xb") as file:
            file.write(b"%d" % dice.randrange(10**9))
    elif way < 12:
        os.link(name, other)
    elif way == 12:
        here, there = dice.sample(("d", "e"), 2)
        os.rename(f"{root}/{here}", f"{root}/{there}")
    else:
        os.stat(name)


def view(root: str) -> tuple[dict[str, tuple[Any, ...]], set[str]]:
    """The files found by their names, and the names listed."""
    found = {}
    for name in RACED:
        try:
            with open(f"{root}/{name}", "rb") as file:
                status = os.fstat(file.fileno())
                found[name] = (status.st_ino, status.st_nlink, status.st_size, file.read())
        except FileNotFoundError:
            pass
    listed = set(os.listdir(root))
    for directory in listed & {"d", "e"}:
        listed |= {f"{directory}/{n}" for n in os.listdir(f"{root}/{directory}")}
    return found, listed - {"d", "e"}


def race(rounds: int, seed: int, limit: float, mounts: tuple[str, str], truth: str) -> None:
    both = threading.Barrier(2)
    failed: list[BaseException] = []

    def run(root: str, dice: random.Random) -> None:
        for number in range(rounds):
            both.wait()
            for _ in range(dice.randrange(1, 5)):
                try:
                    race_once(root, dice)
                except OSError as error:
                    if error.errno not in EXPECTED:
                        raise
            both.wait()
            if root == mounts[0]:
                compare(number)

    def compare(number: int) -> None:
        start = time.monotonic()
        while True:
            views = [view(root) for root in (truth, *mounts)]
            if views[0] == views[1] == views[2] and views[0][1] == views[0][0].keys():
                return
            assert time.monotonic() - start < limit, f"round {number}: {views}"

    def guarded(root: str, dice: random.Random) -> None:
        try:
            run(root, dice)
        except BaseException as error:
            failed.append(error)
            both.abort()

    for directory in ("d", "e"):
        os.mkdir(f"{truth}/{directory}")
    sides = [
        threading.Thread(target=guarded, args=(root, random.Random(seed + n)))
        for n, root in enumerate(mounts)
    ]
    for side in sides:
        side.start()
    for side in sides:
        side.join()
    if failed:
        raise failed[0]


def main() -> None:
    way, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    limit, mounts = float(sys.argv[4]), (sys.argv[5], sys.argv[6])
    print(f"CURVINE_PUSH_SEED={seed}")
    if way == "flushed":
        flushed = Flushed(random.Random(seed), limit)
        flushed.run(rounds, mounts)
        slowest = f"the slowest after {flushed.worst * 1000:.0f} ms"
        print(f"{rounds} changes were seen by the other mount, {slowest}")
    else:
        race(rounds, seed, limit, mounts, sys.argv[7])
        print(f"{rounds} races of two mounts: both show what the cluster holds")


if __name__ == "__main__":
    main()
