# SPDX-License-Identifier: Apache-2.0
"""A program for a mount: random changes of a tree of small files, each compared with a model.

    python tree_operations.py DIRECTORY SEED SECONDS

Creates (some with fsync), replaces by rename, appends, links, unlinks, makes and removes
directories, lists and reads. Any error of a change fails the program, and so does the first name,
byte or link count that differs; reads are tried again for a while, as a worker may be starting.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 30.0  # s for a read
MOST = 60  # files of one directory


@dataclass
class Body:
    """What all names of one inode share."""

    data: bytes
    names: int = 1


@dataclass
class Tree:
    """What should be there: names to bodies, for each directory."""

    dirs: dict[str, dict[str, Body]] = field(default_factory=dict)
    counter: int = 0
    log: list[str] = field(default_factory=list)

    def fresh(self, kind: str) -> str:
        self.counter += 1
        return f"{kind}{self.counter}"

    def some_file(self) -> tuple[str, str] | None:
        full = [where for where, files in self.dirs.items() if files]
        if not full:
            return None
        where = random.choice(full)
        return where, random.choice(list(self.dirs[where]))

    def drop(self, where: str, name: str) -> None:
        self.log.append(f"{time.time() % 1000:.2f} dropped {where}/{name}")
        self.dirs[where].pop(name).names -= 1


def content() -> bytes:
    return random.randbytes(random.choice((0, 1, 100, 4096, 30_000, 70_000)))


def write_new(path: str, data: bytes, *, sync: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        assert os.write(fd, data) == len(data)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def create(tree: Tree) -> None:
    where = random.choice(list(tree.dirs))
    if len(tree.dirs[where]) >= MOST:
        return unlink(tree)
    name, data = tree.fresh("f"), content()
    write_new(f"{where}/{name}", data, sync=random.random() < 0.2)
    tree.dirs[where][name] = Body(data)
    return None


def replace(tree: Tree) -> None:
    """What editors and loaders do: write beside, then rename over."""
    if (found := tree.some_file()) is None:
        return
    where, name = found
    data = content()
    write_new(f"{where}/{name}.new", data, sync=True)
    os.rename(f"{where}/{name}.new", f"{where}/{name}")
    tree.drop(where, name)
    tree.dirs[where][name] = Body(data)


def move(tree: Tree) -> None:
    if (found := tree.some_file()) is None:
        return
    where, name = found
    target, new = random.choice(list(tree.dirs)), tree.fresh("m")
    os.rename(f"{where}/{name}", f"{target}/{new}")
    tree.log.append(f"{time.time() % 1000:.2f} moved {where}/{name} {target}/{new}")
    tree.dirs[target][new] = tree.dirs[where].pop(name)


def link(tree: Tree) -> None:
    if (found := tree.some_file()) is None:
        return
    where, name = found
    target, new = random.choice(list(tree.dirs)), tree.fresh("l")
    os.link(f"{where}/{name}", f"{target}/{new}")
    tree.log.append(f"{time.time() % 1000:.2f} linked {where}/{name} {target}/{new}")
    body = tree.dirs[target][new] = tree.dirs[where][name]
    body.names += 1


def append(tree: Tree) -> None:
    if (found := tree.some_file()) is None:
        return
    where, name = found
    data = content()
    with open(f"{where}/{name}", "ab", buffering=0) as file:
        assert file.write(data) == len(data)
    tree.dirs[where][name].data += data


def unlink(tree: Tree) -> None:
    if (found := tree.some_file()) is None:
        return
    where, name = found
    os.unlink(f"{where}/{name}")
    tree.drop(where, name)


def make_directory(tree: Tree) -> None:
    if len(tree.dirs) < 12:
        name = tree.fresh("d")
        os.mkdir(name)
        tree.dirs[name] = {}


def remove_directory(tree: Tree) -> None:
    where = random.choice(list(tree.dirs))
    if where == "." or len(tree.dirs[where]) > 5:
        return
    for name in list(tree.dirs[where]):
        os.unlink(f"{where}/{name}")
        tree.drop(where, name)
    os.rmdir(where)
    del tree.dirs[where]


def patiently(path: str) -> bytes:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return Path(path).read_bytes()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def read(tree: Tree) -> None:
    if (found := tree.some_file()) is not None:
        check(f"{found[0]}/{found[1]}", tree.dirs[found[0]][found[1]])


def check(path: str, body: Body) -> None:
    status = os.stat(path)
    if status.st_nlink != body.names:
        raise AssertionError(
            f"{path}: {status.st_nlink} links, not {body.names}; {names_of(status)}"
        )
    assert status.st_size == len(body.data), f"{path}: {status.st_size} bytes, not {len(body.data)}"
    assert patiently(path) == body.data, f"{path}: wrong bytes"


def names_of(status: os.stat_result) -> str:
    """What helps to find out who is wrong: all names of the inode, and its count a little later."""
    told = [f"inode {status.st_ino} at {time.time():.2f}"]
    for seconds in (0, 2):
        time.sleep(seconds)
        for where, _, files in os.walk("."):
            for name in files:
                found = os.stat(f"{where}/{name}")
                if found.st_ino == status.st_ino:
                    told.append(f"{where}/{name} has {found.st_nlink} {seconds} s later")
    return ", ".join(told)


def list_one(tree: Tree) -> None:
    compare(tree, random.choice(list(tree.dirs)))


def compare(tree: Tree, where: str) -> None:
    found = set(os.listdir(where))
    wanted = set(tree.dirs[where]) | (set(tree.dirs) - {"."} if where == "." else set())
    assert found == wanted, f"{where}: too many {found - wanted}, missing {wanted - found}"


OPERATIONS = {
    create: 40, replace: 10, append: 8, move: 8, link: 4, unlink: 15, make_directory: 2,
    remove_directory: 1, read: 20, list_one: 4,
}  # fmt: skip


def main() -> int:
    directory, seed, seconds = sys.argv[1:]
    os.chdir(directory)
    os.mkdir(f"tree{seed}")
    os.chdir(f"tree{seed}")
    random.seed(int(seed))
    tree = Tree({".": {}})
    done: Counter[str] = Counter()
    last: list[str] = []
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        (operation,) = random.choices(list(OPERATIONS), list(OPERATIONS.values()))
        last = [*last[-19:], f"{time.time() % 1000:.2f} {operation.__name__}"]
        try:
            operation(tree)
        except Exception:
            print("failed after", *last, *tree.log[-30:])
            raise
        done[operation.__name__] += 1
    for where, files in tree.dirs.items():
        compare(tree, where)
        for name, body in files.items():
            check(f"{where}/{name}", body)
    print("all right:", dict(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
