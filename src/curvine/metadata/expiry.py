# SPDX-License-Identifier: Apache-2.0
"""What happens by itself: time to live (5.12), and reclaiming deleted subtrees.

The TTL table holds (expiry minute, inode) rows; a row may be older than the truth, never younger.
The master calls :meth:`Expiry.expired` and :meth:`Expiry.expire` every minute, and
:meth:`Expiry.reclaim_step` while it returns something; each call is bounded.
"""

from __future__ import annotations

from curvine.metadata.draft import Draft, expiry, expiry_bucket
from curvine.metadata.keys import TTL_BUCKET_MS, Table, id_key, ttl_key, ttl_key_parts
from curvine.metadata.rules.remove import reclaim
from curvine.metadata.tables import Tables
from curvine.metadata.values import ExpiredInode
from curvine.model.inode import FreeResult, TtlAction


class Expiry(Tables):
    """Time to live and background reclaim."""

    def expired(self, limit: int = 1000) -> list[ExpiredInode]:
        """Inodes whose time is over, the oldest first. Rows that are out of date are dropped."""
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
            else:
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
        inode = self._view.inode(item.inode_id)
        path = self.path_of(item.inode_id)
        now = self._clock.now_ms()
        if inode is None or path is None or not 0 < expiry(inode) <= now:
            return FreeResult()
        if inode.ttl_action is TtlAction.DELETE:
            return self.delete(path, recursive=True)
        result = self.free(path, recursive=True)
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

    def reclaim_step(self, limit: int = 1000) -> int:
        """Take a bounded piece out of the deleted subtrees; 0 when nothing is left."""
        for key, _ in self._store.scan(Table.DETACHED, b"", None):
            draft = Draft(self._view, self._clock.now_ms())
            done = reclaim(draft, int.from_bytes(key, "big"), limit)
            self._commit(draft)
            return done
        return 0

    def is_reclaiming(self) -> bool:
        """Whether deleted subtrees wait for :meth:`reclaim_step`."""
        return any(True for _ in self._store.scan(Table.DETACHED, b"", id_key((1 << 64) - 1)))
