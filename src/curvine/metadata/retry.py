# SPDX-License-Identifier: Apache-2.0
"""Requests that were answered already, by request id (control-plane specification 5.4).

A row is written in the very batch of the mutation it belongs to, so a replay after a restart finds
it exactly when the mutation happened. Rows are keyed by epoch, oldest first: forgetting is a range
delete at the front. In memory: one row per remembered request, bounded by count and age (ms).
"""

from __future__ import annotations

from collections import deque

from curvine.metadata.keys import Table, id_key
from curvine.metadata.records import RECORD_VERSION, RetryRow, decode_retry, encode
from curvine.metadata.store import Store

_TRIM_EVERY = 4096  # forgotten rows between two range deletes


class RetryCache:
    """Remembers answered requests. A limit of 0 switches it off."""

    def __init__(self, store: Store, limit: int, ttl_ms: int, now: int) -> None:
        self._store = store
        self._limit = limit
        self._ttl_ms = ttl_ms
        self._rows: dict[int, RetryRow] = {}
        self._order: deque[tuple[int, RetryRow]] = deque()  # (epoch, row), oldest first
        self._forgotten = 0
        if limit:
            for key, value in store.scan(Table.RETRY, b"", None):
                row = decode_retry(value)
                if now - row.time < ttl_ms:
                    self._rows[row.req_id] = row
                    self._order.append((int.from_bytes(key, "big"), row))

    def find(self, req_id: int, op: int, now: int) -> RetryRow | None:
        """The row of a request that was answered, if it is the same operation and young enough."""
        row = self._rows.get(req_id)
        if row is None or row.op != op or now - row.time >= self._ttl_ms:
            return None
        return row

    def row(self, req_id: int, op: int, inode_id: int, now: int) -> RetryRow | None:
        """The row to write with the mutation; None if nothing is remembered."""
        return RetryRow(RECORD_VERSION, req_id, now, op, inode_id) if self._limit else None

    @staticmethod
    def stored(row: RetryRow, epoch: int) -> tuple[int, bytes, bytes]:
        """The row as (table, key, value)."""
        return (Table.RETRY, id_key(epoch), encode(row))

    def remember(self, row: RetryRow, epoch: int) -> None:
        """Keep a row whose batch is in the log, forget what is too old or too much."""
        self._rows[row.req_id] = row
        order = self._order
        order.append((epoch, row))
        while len(order) > self._limit or row.time - order[0][1].time >= self._ttl_ms:
            self._forget_oldest()

    def __len__(self) -> int:
        return len(self._rows)

    def _forget_oldest(self) -> None:
        epoch, row = self._order.popleft()
        if self._rows.get(row.req_id) is row:  # else the same id was answered again since
            del self._rows[row.req_id]
        self._forgotten += 1
        if self._forgotten >= _TRIM_EVERY:
            self._forgotten = 0
            self._store.drop_range(Table.RETRY, id_key(0), id_key(epoch + 1))
