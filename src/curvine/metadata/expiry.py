# SPDX-License-Identifier: Apache-2.0
"""What happens by itself: time to live (5.12), and reclaiming deleted subtrees.

The TTL table holds (expiry minute, inode) rows; a row may be older than the truth, never younger.
The master calls :meth:`Expiry.expired` and :meth:`Expiry.expire` every minute, and
:meth:`Expiry.reclaim_step` while it returns something; each call is bounded.
"""

from __future__ import annotations

from collections.abc import Collection

from curvine.metadata.draft import Draft, expiry, expiry_bucket
from curvine.metadata.keys import TTL_BUCKET_MS, Table, id_key, ttl_key, ttl_key_parts
from curvine.metadata.rules.remove import reclaim
from curvine.metadata.stepping import Steps, finish
from curvine.metadata.tables import Tables
from curvine.metadata.values import ExpiredInode
from curvine.model.inode import FreeResult, TtlAction

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
            return self.delete(path, recursive=True)
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
            done, last = reclaim(draft, found, limit, name if found == root else "")
            self._commit(draft)
            self._reclaimed = (found, last)
            return done
        self._reclaimed = (0, "")
        return self.reclaim_step(limit) if root else 0  # those before it come next

    def is_reclaiming(self) -> bool:
        """Whether deleted subtrees wait for :meth:`reclaim_step`."""
        return any(True for _ in self._store.scan(Table.DETACHED, b"", id_key((1 << 64) - 1)))
