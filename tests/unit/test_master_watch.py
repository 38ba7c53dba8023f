# SPDX-License-Identifier: Apache-2.0
"""Push of changes: prefixes, one frame a turn, a slow watcher costs nobody anything."""

from __future__ import annotations

import asyncio

from curvine.master.watch import MAX_BACKLOG, RETRY_SECONDS, WatchHub
from curvine.metadata.values import Change, ChangeKind
from curvine.wire.codes import ResponseStatus, RpcCode, response_status
from curvine.wire.frame import Frame
from curvine.wire.pb import ext_pb2


class Outlet:
    """Collects what is pushed, as a connection's write buffer would."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.backlog = 0

    def send(self, code: int, status: int, req_id: int, seq_id: int, header: bytes) -> None:
        self.frames.append(Frame(code, status, req_id, seq_id, header))

    def flush(self) -> None:
        pass

    def events(self) -> list[ext_pb2.WatchEventsProto]:
        return [ext_pb2.WatchEventsProto.FromString(frame.header) for frame in self.frames]

    def paths(self) -> list[str]:
        return [event.path for events in self.events() for event in events.events]


def change(path: str, kind: ChangeKind = ChangeKind.ATTR, epoch: int = 1) -> Change:
    return Change(path, 7, 6, path.rpartition("/")[2], kind, epoch)


def test_prefixes_choose_what_is_sent() -> None:
    async def scenario() -> None:
        hub = WatchHub(lambda: 42)
        everything, some = Outlet(), Outlet()
        hub.add(everything, 5, ())
        hub.add(some, 6, ("/data/a", "/x"))
        hub.publish([change("/data"), change("/data/a/b")])
        hub.publish([change("/data", ChangeKind.ENTRY), change("/data/ab"), change("/x")])
        await asyncio.sleep(0)
        assert len(everything.frames) == 1, "one frame for all changes of a turn"
        assert everything.paths() == ["/data", "/data/a/b", "/data", "/data/ab", "/x"]
        assert some.paths() == ["/data/a/b", "/data", "/x"], "a moved ancestor concerns it too"
        frame = some.frames[0]
        assert (frame.code, frame.req_id, frame.seq_id) == (RpcCode.WATCH, 6, 0)
        assert response_status(frame.status) is ResponseStatus.SUCCESS
        assert some.events()[0].epoch == 42

    asyncio.run(scenario())


def test_missed_changes_come_first_and_once() -> None:
    async def scenario() -> None:
        hub = WatchHub(lambda: 1)
        outlet = Outlet()
        remove = hub.add(outlet, 5, (), [change("/old")])
        hub.publish([change("/new")])
        assert outlet.frames == [], "the answer to Open goes first"
        await asyncio.sleep(0)
        hub.publish([change("/later")])
        await asyncio.sleep(0)
        assert outlet.paths() == ["/old", "/new", "/later"]
        assert [frame.seq_id for frame in outlet.frames] == [0, 1]
        remove()
        remove()
        hub.publish([change("/never")])
        await asyncio.sleep(0)
        assert len(outlet.frames) == 2

    asyncio.run(scenario())


def test_a_watcher_is_spared_what_it_does_itself() -> None:
    async def scenario() -> None:
        hub = WatchHub(lambda: 1)
        mine, theirs = Outlet(), Outlet()
        number = hub.new_sender()
        hub.add(mine, 5, (), sender=number)
        hub.add(theirs, 6, (), sender=hub.new_sender())
        hub.sender = number
        hub.publish([change("/by-me")])
        hub.sender = 0
        hub.publish([change("/by-nobody-known")])
        await asyncio.sleep(0)
        assert mine.paths() == ["/by-nobody-known"]
        assert theirs.paths() == ["/by-me", "/by-nobody-known"]

    asyncio.run(scenario())


def test_a_slow_watcher_is_reset_when_it_has_caught_up() -> None:
    async def scenario() -> None:
        hub = WatchHub(lambda: 9)
        slow, quick = Outlet(), Outlet()
        hub.add(slow, 5, ())
        hub.add(quick, 6, ())
        slow.backlog = MAX_BACKLOG + 1
        hub.publish([change("/a")])
        await asyncio.sleep(0)
        slow.backlog = 1
        hub.publish([change("/b")])
        await asyncio.sleep(0)
        assert slow.frames == []
        assert quick.paths() == ["/a", "/b"]
        slow.backlog = 0
        await asyncio.sleep(RETRY_SECONDS * 3)
        assert [events.reset for events in slow.events()] == [True], "without another change"
        hub.publish([change("/c")])
        await asyncio.sleep(0)
        assert slow.paths() == ["/c"]
        hub.close()

    asyncio.run(scenario())
