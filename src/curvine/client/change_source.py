# SPDX-License-Identifier: Apache-2.0
"""Where changes of the namespace come from: pushed by a master of ours, or polled from another.

A feed lives as long as its connection. It passes on :class:`Changes` and remembers up to which
epoch of the namespace it did. Times are seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import IntEnum

import msgspec

from curvine.errors import Common, ConnectionLost
from curvine.model.path import is_under
from curvine.model.worker import ComponentInfo
from curvine.rpc.client import RpcConnection, new_req_id
from curvine.wire import codes
from curvine.wire.codes import CAP_WATCH, SEQ_NONE, RpcCode
from curvine.wire.convert import fill_component
from curvine.wire.convert_cluster import decode_filesystem_info
from curvine.wire.frame import Frame
from curvine.wire.pb import ext_pb2, master_pb2

_POLLED_PAGE = 10_000  # more changed paths than this in one period count as all


class ChangeKind(IntEnum):
    """What is not true any more. Numbers are those of the Watch message."""

    ATTR = 1  # attributes or content of the inode
    ENTRY = 2  # what the name stands for, and everything below it; also ATTR of the directory


class ChangeEvent(msgspec.Struct, frozen=True, gc=False):
    """One change. Ids are 0 where they are not known."""

    kind: ChangeKind
    path: str
    inode_id: int = 0
    parent_id: int = 0


class Changes(msgspec.Struct, frozen=True, gc=False):
    """What happened, oldest first. ``reset``: more than that may have; forget everything."""

    events: tuple[ChangeEvent, ...] = ()
    reset: bool = False


class Times(msgspec.Struct, frozen=True):
    """How often things are done, and how long they may take."""

    answer: float = 5.0  # a master that takes longer is taken to be gone
    ping: float = 5.0  # a pushing master is asked whether it is still there
    poll: float = 0.5  # decision 6
    gap: float = 5.0  # without a master for so long: listeners are told to forget everything
    first_retry: float = 0.1
    longest_retry: float = 2.0
    ask_again: float = 60.0  # a master that offers neither may have been replaced


Tell = Callable[[Changes], None]
RESET = Changes(reset=True)


class PushedFeed:
    """Code 100. ``epoch``: everything up to it was passed on. ``skip_own``: changes by requests
    that carry ``seq_id`` are not told, once there is one."""

    pushes = True
    seq_id = SEQ_NONE

    def __init__(self, connection: RpcConnection, tell: Tell, times: Times, skip_own: bool) -> None:
        self._connection = connection
        self._tell = tell
        self._times = times
        self._skip_own = skip_own
        self._req_id = new_req_id()
        self._telling = False
        self._complete = False
        self.epoch: int | None = None
        connection.on_push = self._pushed

    async def start(self, prefixes: Sequence[str], epoch: int | None) -> None:
        """Watch from ``epoch`` on (None: from now); returns when all that was missed is told."""
        self.epoch = epoch
        request = ext_pb2.WatchRequest(prefixes=prefixes, skip_own=self._skip_own)
        if epoch is not None:
            request.epoch = epoch
        frame = await self._call(codes.OPEN, request.SerializeToString(), self._req_id)
        answer = ext_pb2.WatchOpenResponse.FromString(frame.header)
        self.seq_id = answer.sender if answer.HasField("sender") else SEQ_NONE
        if answer.reset:
            self._pass_on(RESET)
        if epoch is None or answer.reset:
            self.epoch = answer.epoch
        await self._ping()
        self._complete = True

    async def run(self) -> None:
        """Make sure again and again that the master is there; ends with an error."""
        while True:
            await _pause(self._connection, self._times.ping)
            await self._ping()

    def is_current(self) -> bool:
        """Whether every change that the master has pushed up to now was passed on."""
        return self._complete and not self._telling and self._connection.read_now()

    def close(self) -> None:
        self._complete = False
        self._connection.close()

    async def _ping(self) -> None:
        frame = await self._call(codes.RUNNING, b"", new_req_id())
        answer = ext_pb2.WatchOpenResponse.FromString(frame.header)
        if answer.reset:
            self._pass_on(RESET)
        self.epoch = answer.epoch  # what was pushed came before this answer

    async def _call(self, status: int, header: bytes, req_id: int) -> Frame:
        return await self._connection.call(
            RpcCode.WATCH, header, req_id=req_id, timeout=self._times.answer, status=status
        )

    def _pushed(self, frame: Frame) -> None:
        if frame.req_id != self._req_id:
            return
        message = ext_pb2.WatchEventsProto.FromString(frame.header)
        if message.reset:
            self._pass_on(RESET)
        else:
            events = tuple(
                ChangeEvent(ChangeKind(e.kind), e.path, e.inode_id, e.parent_id)
                for e in message.events
            )
            self._pass_on(Changes(events))
        self.epoch = message.epoch

    def _pass_on(self, changes: Changes) -> None:
        self._telling = True
        try:
            self._tell(changes)
        finally:
            self._telling = False


class PolledFeed:
    """Code 29. What the master remembers does not survive it, so another connection means that
    something may have been missed (control-plane specification 5.16)."""

    pushes = False
    seq_id = SEQ_NONE

    def __init__(self, connection: RpcConnection, tell: Tell, times: Times) -> None:
        self._connection = connection
        self._tell = tell
        self._times = times
        self._prefixes: tuple[str, ...] = ()
        self.epoch: int | None = None

    async def start(self, prefixes: Sequence[str], epoch: int | None) -> None:
        """Begin now; Common when the master has no such page."""
        self._prefixes = tuple(prefixes)
        self.epoch = await self._now()
        # A first page shows whether there are any.
        await self._poll()
        if epoch is not None:
            self._tell(RESET)

    async def run(self) -> None:
        """Ask again and again; ends with an error."""
        while True:
            await _pause(self._connection, self._times.poll)
            await self._poll()

    def is_current(self) -> bool:
        """Never: changes are known a while after they happened."""
        return False

    def close(self) -> None:
        self._connection.close()

    async def _poll(self) -> None:
        request = master_pb2.GetCvMetadataDeltaPageRequest(
            from_epoch=self.epoch or 0, page_size=_POLLED_PAGE
        )
        frame = await self._call(RpcCode.GET_CV_METADATA_DELTA_PAGE, request.SerializeToString())
        page = master_pb2.GetCvMetadataDeltaPageResponse.FromString(frame.header)
        if page.full_snapshot_required:
            self.epoch = await self._now()
            self._tell(RESET)
            return
        if page.next_page_token:  # a second page exists only while nobody changes anything
            self._tell(RESET)
        elif page.entries:
            events = tuple(
                ChangeEvent(ChangeKind.ENTRY, row.path, row.entry.status.id)
                for row in page.entries
                if not self._prefixes or concerns(row.path, self._prefixes)
            )
            if events:
                self._tell(Changes(events))
        self.epoch = page.to_epoch

    async def _now(self) -> int:
        request = master_pb2.GetCvMetadataSnapshotPageRequest(page_size=1)
        frame = await self._call(RpcCode.GET_CV_METADATA_SNAPSHOT_PAGE, request.SerializeToString())
        return master_pb2.GetCvMetadataSnapshotPageResponse.FromString(frame.header).epoch

    async def _call(self, code: RpcCode, header: bytes) -> Frame:
        return await self._connection.call(
            code, header, req_id=new_req_id(), timeout=self._times.answer
        )


async def _pause(connection: RpcConnection, seconds: float) -> None:
    """Wait, unless the connection is lost meanwhile: ConnectionLost."""
    try:
        await asyncio.wait_for(connection.gone.wait(), seconds)
    except TimeoutError:
        return
    raise ConnectionLost(f"the connection with {connection.peer} is closed")


Feed = PushedFeed | PolledFeed


async def open_feed(
    connection: RpcConnection,
    identity: ComponentInfo,
    prefixes: Sequence[str],
    epoch: int | None,
    tell: Tell,
    times: Times,
    skip_own: bool = False,
) -> Feed | None:
    """The best feed that the master at the other end has; None if it has none.

    NotLeader, ConnectionLost and TimedOut: another master may have one."""
    request = master_pb2.GetFilesystemInfoRequest()
    fill_component(request.component_info, identity)
    frame = await connection.call(
        RpcCode.GET_FILESYSTEM_INFO,
        request.SerializeToString(),
        req_id=new_req_id(),
        timeout=times.answer,
    )
    server = decode_filesystem_info(frame.header).server
    if server is not None and CAP_WATCH in server.capabilities:
        pushed = PushedFeed(connection, tell, times, skip_own)
        await pushed.start(prefixes, epoch)
        return pushed
    polled = PolledFeed(connection, tell, times)
    try:
        await polled.start(prefixes, epoch)
    except Common:
        return None
    return polled


def concerns(path: str, prefixes: Sequence[str]) -> bool:
    """Whether a change of ``path`` matters to who watches below ``prefixes``."""
    return any(is_under(path, prefix) or is_under(prefix, path) for prefix in prefixes)
