# SPDX-License-Identifier: Apache-2.0
"""The multiplexed client and the master connector over real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from curvine.clock import ManualClock
from curvine.errors import (
    ConfigError,
    ConnectionLost,
    CurvineError,
    InvalidArgument,
    IoFailed,
    NotFound,
    NotLeader,
    TimedOut,
)
from curvine.rpc.client import RpcConnection, new_req_id
from curvine.rpc.connector import MasterConnector
from curvine.rpc.server import Reply, RpcServer, ServerConnection
from curvine.rpc.step import Suspended, finish, step
from curvine.wire.frame import Frame

STAT = 7


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    uvloop.run(limited())


class Master:
    """A real server whose answer the test chooses; it remembers what it was asked."""

    def __init__(self, answer: bytes | CurvineError | float | asyncio.Event = b"ok") -> None:
        self.answer = answer
        self.asked: list[int] = []
        self.server = RpcServer({STAT: self.stat}, name="master")
        self.address = ("", 0)
        self._heard = asyncio.Event()

    async def start(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> Master:
        self.address = await self.server.start(*address)
        return self

    async def stat(self, _: ServerConnection, frame: Frame) -> Reply:
        self.asked.append(frame.req_id)
        self._heard.set()
        answer = self.answer
        if isinstance(answer, CurvineError):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return b"late"
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return b"late"
        return answer

    async def is_asked(self, req_id: int) -> None:
        """Wait until the request has come."""
        while req_id not in self.asked:
            await self._heard.wait()
            self._heard.clear()


def free_address() -> tuple[str, int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return "127.0.0.1", sock.getsockname()[1]


def test_request_ids_are_negative_and_do_not_repeat() -> None:
    ids = {new_req_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(-(2**63) <= key < -1 for key in ids)


def test_time_outs_are_per_call_and_the_connection_survives_them() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        master = await Master(gate).start()
        client = await RpcConnection.connect(*master.address)
        slow = asyncio.ensure_future(client.call(STAT, req_id=1))
        await master.is_asked(1)
        with pytest.raises(InvalidArgument, match="in flight"):
            client.call_nowait(STAT, b"", lambda result: None, req_id=1)
        master.answer = b"quick"
        assert (await client.call(STAT, req_id=2)).header == b"quick"
        gate.set()
        assert (await slow).header == b"late"
        cancelled = asyncio.ensure_future(client.call(STAT, req_id=3))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert client.in_flight == 0
        client.close()
        await master.server.close()

    run(main())


def test_a_failed_call_leaves_nothing_for_the_collector() -> None:
    """Errors are what every create begins with (the name is looked up): none holds what the
    caller's frames hold, a FUSE request's buffer for one, until the collector comes by."""

    async def main() -> None:
        master = await Master(NotFound("no such file")).start()
        client = await RpcConnection.connect(*master.address)
        connector = MasterConnector([master.address])

        async def called(call: Callable[[], Awaitable[Frame]]) -> None:
            with pytest.raises(NotFound):
                await call()

        async def stepped() -> None:
            rest = step(client.call(STAT, req_id=new_req_id()))
            assert isinstance(rest, Suspended)
            with pytest.raises(NotFound):
                await finish(rest)

        await called(lambda: connector.call(STAT))
        for work in (
            lambda: called(lambda: client.call(STAT, req_id=new_req_id())),
            lambda: called(lambda: connector.call(STAT)),
            stepped,
        ):
            gc.collect()
            gc.disable()
            try:
                for _ in range(100):
                    await asyncio.create_task(work())
                assert gc.collect() < 50
            finally:
                gc.enable()
        await connector.close()
        client.close()
        await master.server.close()

    run(main())


def test_a_call_that_is_given_up_does_not_disturb_the_one_that_answers_meanwhile() -> None:
    async def main() -> None:
        master = await Master(asyncio.Event()).start()
        for attempt in range(10, 100, 10):  # a stall of the machine looks like a silent peer
            client = await RpcConnection.connect(*master.address)
            never = master.answer = asyncio.Event()
            late = asyncio.ensure_future(client.call(STAT, req_id=attempt, timeout=0.2))
            await master.is_asked(attempt)
            await asyncio.sleep(0.005)  # the loop's clock has whole milliseconds
            master.answer = b"quick"
            quick = asyncio.ensure_future(client.call(STAT, req_id=attempt + 1))
            with pytest.raises(TimedOut):
                await late
            if not client.closed:
                break
            never.set()
            await asyncio.gather(quick, return_exceptions=True)
        assert (await quick).header == b"quick"
        assert not client.closed and client.in_flight == 0
        never.set()
        client.close()
        await master.server.close()

    run(main())


def test_a_silent_peer_loses_its_connection() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = await RpcConnection.connect(*silent.getsockname())
            other = asyncio.ensure_future(client.call(STAT, req_id=1, timeout=9))
            with pytest.raises(TimedOut):
                await client.call(STAT, req_id=2, timeout=0.05)
            with pytest.raises(ConnectionLost, match="silent"):
                await other
            assert client.closed
            with pytest.raises(ConnectionLost):
                await client.call(STAT, req_id=3)

    run(main())


@pytest.mark.parametrize("rubbish", [b"\xff" * 30, b"\0\0\0\x12" + bytes(5) + b"\xff" + bytes(12)])
def test_rubbish_from_the_peer_fails_the_calls_in_flight(rubbish: bytes) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = await RpcConnection.connect(*server.getsockname())
            call = asyncio.ensure_future(client.call(STAT, req_id=1))
            peer, _ = server.accept()
            peer.sendall(rubbish)
            with pytest.raises(ConnectionLost):
                await call
            peer.close()

    run(main())


def test_callbacks_get_one_result_and_may_call_again() -> None:
    async def main() -> None:
        master = await Master().start()
        client = await RpcConnection.connect(*master.address)
        results: list[Any] = []
        over = asyncio.get_running_loop().create_future()

        def on_result(result: Frame | CurvineError) -> None:
            results.append(result)
            if len(results) == 3:
                over.set_result(None)
                return
            master.answer = NotFound("File /a not found")
            client.call_nowait(STAT, b"", on_result, req_id=len(results))

        client.call_nowait(STAT, b"", on_result, req_id=99)
        await over
        assert results[0].header == b"ok"
        assert [type(result) for result in results[1:]] == [NotFound, NotFound]
        client.close()
        await master.server.close()

    run(main())


def test_connecting_fails_with_the_reason() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionLost, match=r"cannot connect to 127\.0\.0\.1:.*refused"):
            await RpcConnection.connect(*free_address())
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await RpcConnection.connect("no-such-host.invalid", 1, 5)

    run(main())


def test_the_leader_is_found_remembered_and_replaced() -> None:
    async def main() -> None:
        masters = [await Master(NotLeader("no")).start(), await Master().start()]
        connector = MasterConnector([master.address for master in masters], pool_size=2)
        assert (await connector.call(STAT, req_id=1)).header == b"ok"
        assert connector.leader == masters[1].address
        await connector.call(STAT, req_id=2)
        assert masters[0].asked == [1]
        # A final error is an answer: no other master is asked.
        masters[1].answer = NotFound("File /x not found")
        with pytest.raises(NotFound):
            await connector.call(STAT, req_id=3)
        # The other one takes over: the same request id goes to it.
        masters[0].answer, masters[1].answer = b"new", NotLeader("not any more")
        assert (await connector.call(STAT, req_id=4)).header == b"new"
        assert masters[0].asked == [1, 4]
        assert masters[1].asked == [1, 2, 3, 4, 4]
        assert connector.leader == masters[0].address
        # It dies; the callback form finds the way as well.
        await masters[0].server.close()
        masters[1].answer = b"back"
        got = asyncio.get_running_loop().create_future()
        connector.call_nowait(STAT, b"", got.set_result, req_id=5)
        assert (await got).header == b"back"
        await connector.close()
        await masters[1].server.close()

    run(main())


def test_rounds_follow_the_budget() -> None:
    clock = ManualClock()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(round(seconds, 3))
        clock.advance(seconds)

    async def main() -> None:
        connector = MasterConnector(
            [free_address(), free_address()],
            retry_max=3.0,
            retry_max_sleep=1.0,
            clock=clock,
            sleep=sleep,
        )
        with pytest.raises(IoFailed, match=r"^failed to determine after 3 s .* refused"):
            await connector.call(STAT)
        await connector.close()

    run(main())
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 0.5], "doubled, capped, the last one cut"


def test_a_master_that_comes_up_late_is_found() -> None:
    async def main() -> None:
        address = free_address()
        master = Master()

        async def sleep(_: float) -> None:
            await master.start(address)

        connector = MasterConnector([address], sleep=sleep)
        replies = await asyncio.gather(*(connector.call(STAT) for _ in range(1)))
        assert [frame.header for frame in replies] == [b"ok"]
        replies = await asyncio.gather(*(connector.call(STAT) for _ in range(50)))
        assert len(replies) == 50
        assert len(master.server.connections) <= 3
        await connector.close()
        await master.server.close()

    run(main())


def test_no_master_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="master_addrs"):
        MasterConnector([])
