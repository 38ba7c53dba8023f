# SPDX-License-Identifier: Apache-2.0
"""Sums over subtrees that stay right while the namespace changes.

Theory of operation. A :class:`Tally` belongs to one directory. Its walk goes through the subtree
once, a chunk of names at a time; every batch committed meanwhile or later is added as a difference,
so that a sum once made costs nothing to ask for again. What the walk has already counted is told by
position, never by a list of inodes:

- ``_waiting``: directories counted themselves, with nothing below them counted yet;
- ``_cursors``: directories in the middle of being listed, by the last name counted.

An inode is counted unless, on the way up to the tally's directory, a directory waits, or is listed
no further than to a smaller name. A difference counts where its position is counted.

Directories that move bring or take what lies below: one that comes into counted ground waits to be
walked; one that leaves it makes the tally void, unless nothing of it was counted. One that is
detached (``rules.remove``) is *leaving*: what reclaiming removes of it is subtracted bit by bit,
and the sum is right again when the last bit is gone.

A file with several names counts once, where its main name lies. Lengths are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from curvine.metadata.records import Inode
from curvine.metadata.rules.remove import DETACHED_PARENT
from curvine.model.inode import ContentSummary

CHUNK = 200  # names counted in one step

_Sum = tuple[int, int, int, int, int]  # files, directories, bytes, cached bytes, space
_Chain = list[tuple[int, bytes]]  # (directory, name in it), from an inode upwards
_Find = Callable[[int], Inode | None]


def share(inode: Inode) -> _Sum:
    """What an inode adds to the sums above it."""
    if inode.is_dir:
        return (0, 1, 0, 0, 0)
    stored = inode.block_bytes
    return (1, 0, inode.len, stored, stored * max(inode.replicas, 1))


class Tally:
    """The sum of one directory's subtree, itself included."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.is_void = False  # no longer kept up: make another
        self.used = 0  # ms, when it was last asked for
        self._sum: _Sum = (0, 1, 0, 0, 0)
        self._stack = [root]
        self._waiting = {root}
        self._cursors: dict[int, bytes] = {}
        self.leaving: set[int] = set()  # detached directories that are still counted

    @property
    def is_walked(self) -> bool:
        """Whether everything below has been counted."""
        return not self._stack

    @property
    def summary(self) -> ContentSummary:
        """What has been counted so far."""
        return ContentSummary(*self._sum)

    # -- the walk ------------------------------------------------------------------------------

    def next_directory(self) -> tuple[int, bytes]:
        """(directory, name) behind which up to CHUNK children are to be given to :meth:`count`."""
        top = self._stack[-1]
        return top, self._cursors.get(top, b"")

    def count(self, directory: int, children: list[tuple[bytes, Inode | None]]) -> None:
        """Count the next children of a directory; fewer than CHUNK are its last ones."""
        self._waiting.discard(directory)
        found: list[int] = []
        for name, inode in children:
            # another name of a file that counts elsewhere
            if inode is None or inode.parent != directory or _key(inode.name) != name:
                continue
            self.add(share(inode))
            if inode.is_dir and inode.len:
                found.append(inode.id)
        if len(children) < CHUNK:
            self._stack.pop()
            self._cursors.pop(directory, None)
        else:
            self._cursors[directory] = children[-1][0]
        self._stack += found
        self._waiting.update(found)
        self._drop_settled()

    def wait_for(self, directory: int) -> None:
        """A directory came into counted ground."""
        self._waiting.add(directory)
        self._stack.append(directory)

    def is_waiting(self, directory: int) -> bool:
        """Whether nothing below the directory has been counted, and it is known."""
        return directory in self._waiting

    def forget(self, directory: int) -> None:
        """A waiting directory is not to be walked."""
        self._waiting.discard(directory)
        self._drop_settled()

    def _drop_settled(self) -> None:
        stack = self._stack
        while stack and stack[-1] not in self._waiting and stack[-1] not in self._cursors:
            stack.pop()

    # -- differences ---------------------------------------------------------------------------

    def counts(self, chain: _Chain) -> bool:
        """Whether a position below the tally's directory is counted."""
        if not self._stack:
            return True
        for directory, name in chain:
            if directory in self._waiting:
                return False
            cursor = self._cursors.get(directory)
            if cursor is not None and name > cursor:
                return False
            if directory == self.root:
                return True
        return True

    def add(self, part: _Sum) -> None:
        """A part comes."""
        a = self._sum
        self._sum = (
            a[0] + part[0], a[1] + part[1], a[2] + part[2], a[3] + part[3], a[4] + part[4]
        )  # fmt: skip

    def subtract(self, part: _Sum) -> None:
        """A part goes."""
        self.add((-part[0], -part[1], -part[2], -part[3], -part[4]))


class Tallies:
    """All tallies of a namespace, kept up with every batch. At most ``limit``."""

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._of: dict[int, Tally] = {}
        self._owners: dict[int, tuple[Tally, ...]] = {}  # detached directory -> still counted by

    def __bool__(self) -> bool:
        return bool(self._of)

    def of(self, root: int, now: int) -> Tally:
        """The tally of a directory, a new one if there is none."""
        tally = self._of.get(root)
        if tally is None:
            if len(self._of) >= self._limit:
                self._void(min(self._of.values(), key=lambda one: one.used))
            tally = self._of[root] = Tally(root)
        tally.used = now
        return tally

    def drop_unused(self, since: int) -> None:
        """Stop keeping up what nobody has asked for since a time (ms)."""
        for tally in [one for one in self._of.values() if one.used < since]:
            self._void(tally)

    def _void(self, tally: Tally) -> None:
        tally.is_void = True
        self._of.pop(tally.root, None)
        for directory in tally.leaving:
            left = tuple(one for one in self._owners.get(directory, ()) if one is not tally)
            if left:
                self._owners[directory] = left
            else:
                self._owners.pop(directory, None)

    def changes(
        self, find_old: _Find, find_new: _Find, inodes: Mapping[int, Inode | None], first_new: int
    ) -> list[Callable[[], None]]:
        """What a batch does to the tallies, to be done when it is in the log.

        Inodes from ``first_new`` on did not exist before it.
        """
        todo: list[Callable[[], None]] = []
        moves: list[tuple[Inode | None, Inode | None]] = []
        for inode_id, new in inodes.items():
            old = find_old(inode_id) if inode_id < first_new else None
            if old is new or (old and new and _weighs_the_same(old, new)):
                continue
            if new is not None and old is not None and _is_detached(new):
                if not _is_detached(old):
                    self._detach(todo, old, find_old)
            else:
                moves.append((old, new))
        for old, new in moves:  # now that it is known whose the detached directories are
            self._change(todo, old, new, find_old, find_new)
        return todo

    def _change(
        self,
        todo: list[Callable[[], None]],
        old: Inode | None,
        new: Inode | None,
        find_old: _Find,
        find_new: _Find,
    ) -> None:
        was, now = self._above(old, find_old), self._above(new, find_new)
        if old is not None:
            todo += [partial(tally.subtract, share(old)) for tally in was if was[tally]]
            if _is_detached(old):
                todo.append(partial(self._reclaimed, old.id))
            if new is None and old.id in self._of:
                todo.append(partial(self._void, self._of[old.id]))
        if new is not None:
            todo += [partial(tally.add, share(new)) for tally in now if now[tally]]
            if old is not None and new.is_dir and new.len:
                for tally in {*was, *now}:
                    self._moved(todo, tally, new.id, was.get(tally, False), now.get(tally, False))

    def _moved(
        self, todo: list[Callable[[], None]], tally: Tally, directory: int, was: bool, now: bool
    ) -> None:
        """What lies below a directory goes with it to another place."""
        if now and not was:
            todo.append(partial(tally.wait_for, directory))
        elif was and not now:
            waiting = tally.is_waiting(directory)
            todo.append(partial(tally.forget, directory) if waiting else partial(self._void, tally))

    def _detach(self, todo: list[Callable[[], None]], old: Inode, find_old: _Find) -> None:
        """A directory is deleted with all below, and reclaimed later."""
        owners: list[Tally] = []
        for tally, counted in self._above(old, find_old).items():
            if not counted:
                continue
            if tally.is_waiting(old.id):
                todo.append(partial(tally.forget, old.id))
                todo.append(partial(tally.subtract, share(old)))
            elif tally.is_walked:
                owners.append(tally)
            else:
                todo.append(partial(self._void, tally))
        if owners:
            self._owners[old.id] = tuple(owners)
            todo += [partial(tally.leaving.add, old.id) for tally in owners]
        if old.id in self._of:
            todo.append(partial(self._void, self._of[old.id]))

    def _reclaimed(self, directory: int) -> None:
        for tally in self._owners.pop(directory, ()):
            tally.leaving.discard(directory)

    def _above(self, inode: Inode | None, find: _Find) -> dict[Tally, bool]:
        """The tallies above an inode, and whether they count it."""
        if inode is None:
            return {}
        found: dict[Tally, bool] = {}
        chain: _Chain = []
        at: Inode | None = inode
        while at is not None and at.parent > DETACHED_PARENT:
            chain.append((at.parent, _key(at.name)))
            tally = self._of.get(at.parent)
            if tally is not None:
                found[tally] = tally.counts(chain)
            at = find(at.parent)
        if at is not None and at.parent == DETACHED_PARENT:
            for tally in self._owners.get(at.id, ()):
                found[tally] = True
        return found


def _weighs_the_same(old: Inode, new: Inode) -> bool:
    """Whether an inode is where it was and adds to the sums what it added."""
    if old.parent != new.parent or old.name != new.name:
        return False
    return old.is_dir or share(old) == share(new)


def _is_detached(inode: Inode) -> bool:
    return inode.parent == DETACHED_PARENT


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
