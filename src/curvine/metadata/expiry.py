# SPDX-License-Identifier: Apache-2.0
"""What happens by itself: time to live (5.12), and reclaiming deleted subtrees.

The TTL table holds (expiry minute, inode) rows; a row may be older than the truth, never younger.
The master calls :meth:`Expiry.expired` and :meth:`Expiry.expire` every minute, and
:meth:`Expiry.reclaim_step` while it returns something; each call is bounded.
"""

from __future__ import annotations

from collections.abc import Collection

from curvine.metadata.core import Op
from curvine.metadata.draft import Draft, expiry, expiry_bucket
from curvine.metadata.keys import TTL_BUCKET_MS, Table, id_key, ttl_key, ttl_key_parts
from curvine.metadata.rules.remove import DETACHED_PARENT, Reclaimed, reclaim
from curvine.metadata.stepping import Steps, finish
from curvine.metadata.tables import Tables
from curvine.metadata.values import Deletion, ExpiredInode
from curvine.model.inode import FreeResult, TtlAction

_PATIENCE_MS = 60_000  # a client gives up after 120 s
_COUNTED = 5000  # rows that are really counted: some milliseconds


class Expiry(Tables):
    """Time to live and background reclaim."""

    _reclaimed = (0, "")  # the root and the name at which the last step of reclaiming ended

    def expired(self, limit: int = 1000, skip: Collection[int] = ()) -> list[ExpiredInode]:
        """Inodes whose time is over, the oldest first, but for those in ``skip``.

        Rows that are out of date are dropped.
        """
        now = self._clock.now_ms()
        found: list[ExpiredInode] = []
        stale: list[tuple[int, bytes, bytes | None]] = []
        seen: set[int] = set()
        for key, _ in self._store.scan(Table.TTL, b"", ttl_key(now + 1, 0)):
            bucket, inode_id = ttl_key_parts(key)
            inode = self._view.inode(inode_id)
            if inode is None or not expiry_bucket(inode) or inode_id in seen:
                stale.append((Table.TTL, key, None))
            elif expiry(inode) > now:
                if bucket != expiry_bucket(inode):
                    stale.append((Table.TTL, key, None))
            elif inode_id not in skip:
                seen.add(inode_id)
                path = self.path_of(inode_id)
                if path is None:  # part of a deleted subtree
                    stale.append((Table.TTL, key, None))
                    continue
                found.append(ExpiredInode(inode_id, path, inode.is_dir, inode.ttl_action, bucket))
                if len(found) == limit:
                    break
        if stale:
            self._store.commit(stale)
        return found

    def expire(self, item: ExpiredInode) -> FreeResult:
        """Do what the TTL action of an expired inode says; zero if it is no longer expired."""
        return finish(self.expire_steps(item))

    def expire_steps(self, item: ExpiredInode) -> Steps[FreeResult]:
        """The same in steps: a directory can hold much to free."""
        inode = self._view.inode(item.inode_id)
        path = self.path_of(item.inode_id)
        now = self._clock.now_ms()
        if inode is None or path is None or not 0 < expiry(inode) <= now:
            return FreeResult()
        if inode.ttl_action is TtlAction.DELETE:
            return (yield from self.delete_steps(path, recursive=True))
        result = yield from self.free_steps(path, recursive=True)
        if inode.is_dir:
            # A directory does not change by being freed: look at it again after another ttl_ms.
            again = now + inode.ttl_ms
            again -= again % TTL_BUCKET_MS
            self._store.commit(
                [
                    (Table.TTL, ttl_key(item.bucket, inode.id), None),
                    (Table.TTL, ttl_key(again, inode.id), b""),
                ]
            )
        return result

    def ttl_counts(self) -> tuple[int, int]:
        """(minutes in which something expires, inodes with a time to live).

        Estimates where there are more than :data:`_COUNTED` inodes.
        """
        buckets: set[int] = set()
        rows = 0
        for key, _ in self._store.scan(Table.TTL, b"", None):
            buckets.add(ttl_key_parts(key)[0])
            rows += 1
            if rows == _COUNTED:
                total = max(self._store.estimated_rows(Table.TTL), rows)
                return len(buckets) * total // rows, total
        return len(buckets), rows

    def reclaim_step(self, limit: int = 100) -> int:
        """Take a bounded piece out of the deleted subtrees; 0 when nothing is left.

        It goes on where the last one ended: what has just been removed is not to be skipped over
        again and again, which would make a large directory take time by the square of its size.
        """
        root, name = self._reclaimed
        for key, _ in self._store.scan(Table.DETACHED, id_key(root), None):
            found = int.from_bytes(key, "big")
            draft = Draft(self._view, self._clock.now_ms())
            step = reclaim(draft, found, limit, name if found == root else "")
            self._commit(draft)
            self._reclaimed = (found, step.last)
            self._account(found, step)
            return step.looked_at
        self._reclaimed = (0, "")
        return self.reclaim_step(limit) if root else 0  # those before it come next

    def delete_steps(
        self, path: str, recursive: bool = False, *, req_id: int = 0
    ) -> Steps[FreeResult]:
        """:meth:`delete`, and the reclaiming of a large subtree, so that the counts are right.

        The path is gone after the first step. A replay waits for the same end. What takes more than
        a minute goes on by itself; the counts are then those of the first minute.
        """
        if seen := self._replayed(Op.DELETE, req_id):
            root, result = seen.inode_id, FreeResult()
        else:
            inode = self._view.resolve(path)
            result = self.delete(path, recursive, req_id=req_id)
            root = inode.id if inode is not None else 0
            rest = self._view.inode(root)
            if rest is not None and rest.parent == DETACHED_PARENT:
                self._deletions[root] = Deletion({root})
        deletion = self._deletions.get(root)
        if deletion is None:
            return result
        end = self._clock.now_ms() + _PATIENCE_MS
        while deletion.left and self._clock.now_ms() < end:
            yield
            self.reclaim_step()
        return FreeResult(deletion.files, deletion.bytes)

    def _account(self, root: int, step: Reclaimed) -> None:
        """Count what a step released for the deletion that it belongs to."""
        deletion = self._deletions.get(root)
        if deletion is None:
            return
        deletion.files += step.released.inodes
        deletion.bytes += step.released.bytes
        for directory in step.detached:
            self._deletions[directory] = deletion
            deletion.left.add(directory)
        if step.is_done:
            del self._deletions[root]
            deletion.left.discard(root)

    def is_reclaiming(self) -> bool:
        """Whether deleted subtrees wait for :meth:`reclaim_step`."""
        return any(True for _ in self._store.scan(Table.DETACHED, b"", id_key((1 << 64) - 1)))
