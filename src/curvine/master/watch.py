# SPDX-License-Identifier: Apache-2.0
"""Push of changes to watching clients (decision 6, code 100).

A watcher names path prefixes; from then on every change below them is sent in Running frames, one
frame per turn of the loop at most, however many changes that turn brought. It leaves before the
answers to those who made the changes, as long as the watchers are few (``flush``): who opens a file
after another's close(2) has returned can then know of it. A change of a directory above a prefix
(renamed, removed) is sent too. A watcher may ask to be spared what it does itself: it gets a
number, and its requests carry it (``sender``). A watcher that reads too slowly is not waited for
and costs no memory: its changes are dropped, and once its buffer has drained it is told to forget
everything (``reset``).

Called from the loop only.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from curvine.metadata.values import Change, ChangeKind
from curvine.model.path import is_under
from curvine.wire.codes import RUNNING, RpcCode, success_byte
from curvine.wire.pb import ext_pb2

MAX_BACKLOG = 1 << 20  # bytes waiting in a watcher's socket before its changes are dropped
RETRY_SECONDS = 0.05  # how often a watcher that fell behind is looked at
_MOST_SENDERS = (1 << 31) - 1
FEW_WATCHERS = 64  # answers wait for this many pushes at most

Prefixes = tuple[str, ...]  # none = everything


class Outlet(Protocol):
    """A connection, as far as pushing to it goes."""

    def send(self, code: int, status: int, req_id: int, seq_id: int, header: bytes) -> None: ...

    def flush(self) -> None:
        """Give what was sent to the kernel now."""

    @property
    def backlog(self) -> int: ...


class _Watcher:
    __slots__ = ("behind", "missed", "outlet", "prefixes", "req_id", "sender", "seq")

    def __init__(
        self,
        outlet: Outlet,
        req_id: int,
        prefixes: Prefixes,
        missed: Sequence[Change],
        sender: int,
    ) -> None:
        self.outlet = outlet
        self.req_id = req_id
        self.prefixes = prefixes
        self.seq = 0
        self.behind = False
        self.missed = missed  # sent once, before anything else
        self.sender = sender  # whose changes it is spared; 0 = nobody's

    def send(self, payload: bytes) -> None:
        status = success_byte(RUNNING)
        self.outlet.send(RpcCode.WATCH, status, self.req_id, self.seq, payload)
        self.outlet.flush()
        self.seq = (self.seq + 1) & 0x7FFFFFFF


class WatchHub:
    """All watchers, and the changes of this turn of the loop."""

    def __init__(self, current_epoch: Callable[[], int]) -> None:
        self._current_epoch = current_epoch
        self._watchers: list[_Watcher] = []
        self._pending: list[tuple[int, Change]] = []  # with who made it
        self.sender = 0  # who makes the changes that are published now; 0 = unknown
        self._scheduled: asyncio.Handle | None = None
        self._retry: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watchers)

    def add(
        self,
        outlet: Outlet,
        req_id: int,
        prefixes: Prefixes,
        missed: Sequence[Change] = (),
        sender: int = 0,
    ) -> Callable[[], None]:
        """Start watching, with ``missed`` in the first frame; the function returned ends it.
        ``sender``: spare it what this number does.

        Nothing is sent before the loop's next turn, so the answer to the call goes first.
        """
        watcher = _Watcher(outlet, req_id, prefixes, missed, sender)
        self._watchers.append(watcher)
        if missed:
            self._schedule()

        def remove() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return remove

    def new_sender(self) -> int:
        """A number for who wants to be spared what it does itself."""
        return secrets.randbelow(_MOST_SENDERS) + 1

    def publish(self, changes: Sequence[Change]) -> None:
        """Take changes that are in the log. Costs nothing while nobody watches."""
        if not self._watchers:
            return
        sender = self.sender
        self._pending.extend((sender, change) for change in changes)
        self._schedule()

    def flush(self) -> None:
        """Send what is waiting before anything else leaves, unless that would take long."""
        if len(self._watchers) <= FEW_WATCHERS:
            self.push_now()

    def is_behind(self, outlet: Outlet) -> bool:
        """Whether changes for ``outlet`` were dropped, and it was not told yet."""
        return any(w.behind for w in self._watchers if w.outlet is outlet)

    def push_now(self) -> None:
        """Send what is waiting."""
        if self._scheduled is not None:
            self._flush()

    def close(self) -> None:
        """Forget all watchers."""
        for handle in (self._scheduled, self._retry):
            if handle is not None:
                handle.cancel()
        self._watchers.clear()
        self._pending.clear()

    def _schedule(self) -> None:
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        pending, self._pending = self._pending, []
        changes = [change for _, change in pending]
        senders = {sender for sender, _ in pending}
        epoch = self._current_epoch()
        encoded: dict[tuple[Prefixes, int], bytes] = {}
        for watcher in self._watchers:
            if watcher.missed:
                payload = _encode([*watcher.missed, *changes], watcher.prefixes, epoch)
                watcher.missed = ()
                if payload:
                    watcher.send(payload)
                continue
            backlog = watcher.outlet.backlog
            if backlog > MAX_BACKLOG:
                watcher.behind = True
            elif watcher.behind and backlog == 0:
                watcher.behind = False
                watcher.send(_encode_reset(epoch))
            elif not watcher.behind and changes:
                own = watcher.sender if watcher.sender in senders else 0
                key = (watcher.prefixes, own)
                if key not in encoded:
                    others = [c for s, c in pending if s != own] if own else changes
                    encoded[key] = _encode(others, watcher.prefixes, epoch)
                if payload := encoded[key]:
                    watcher.send(payload)
        if self._retry is None and any(watcher.behind for watcher in self._watchers):
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._retry = None
        self._flush()


def _concerns(change: Change, prefixes: Prefixes) -> bool:
    if not prefixes:
        return True
    path = change.path
    for prefix in prefixes:
        if is_under(path, prefix):
            return True
        if change.kind is ChangeKind.ENTRY and is_under(prefix, path):
            return True
    return False


def _encode(changes: Sequence[Change], prefixes: Prefixes, epoch: int) -> bytes:
    """A WatchEventsProto, empty when nothing concerns the watcher."""
    out = ext_pb2.WatchEventsProto()
    for change in changes:
        if _concerns(change, prefixes):
            event = out.events.add()
            event.kind = change.kind  # type: ignore[assignment]  # enums are ints to protobuf
            event.path = change.path
            event.inode_id = change.inode_id
            event.parent_id = change.parent_id
    if not out.events:
        return b""
    out.epoch = epoch
    out.reset = False
    return out.SerializeToString()


def _encode_reset(epoch: int) -> bytes:
    out = ext_pb2.WatchEventsProto()
    out.epoch = epoch
    out.reset = True
    return out.SerializeToString()
