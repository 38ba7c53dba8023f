# SPDX-License-Identifier: Apache-2.0
"""Calls to whichever master is active (control-plane specification 2.4). Times are seconds.

Nothing on the wire names the active master. So the one that answered last is asked first; if it
cannot be reached, is too slow or says that it is not the leader, the same request (same req_id: the
masters' retry cache makes that safe) goes to all masters, round after round. The first success or
final error ends the call, and that master is remembered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from curvine.clock import Clock, SystemClock
from curvine.errors import (
    ConfigError,
    ConnectionLost,
    CurvineError,
    NoMaster,
    NotLeader,
    TimedOut,
)
from curvine.rpc.auth import Auth
from curvine.rpc.client import CALL_TIMEOUT, CONNECT_TIMEOUT, Callback, RpcConnection, new_req_id
from curvine.rpc.dialing import describe
from curvine.telemetry.logs import OnceLogger
from curvine.wire.codes import SEQ_NONE, code_name
from curvine.wire.frame import Buffer, Frame

#: what makes a call be tried again; every other error is an answer
RETRYABLE = (NotLeader, ConnectionLost, TimedOut)
_once = OnceLogger(logging.getLogger(__name__), interval=60)
T = TypeVar("T")

__all__ = ["RETRYABLE", "MasterConnector", "new_req_id"]


class _Master:
    """The connections to one master, used in turn and made when they are needed."""

    def __init__(
        self, address: tuple[str, int], size: int, conn_timeout: float, auth: Auth | None
    ) -> None:
        self.address = address
        self._auth = auth
        self._conn_timeout = conn_timeout
        self._slots: list[RpcConnection | None] = [None] * size
        self._dialling: dict[int, asyncio.Task[RpcConnection]] = {}
        self._turn = 0

    def ready(self) -> RpcConnection | None:
        """The next connection in turn, if it is there."""
        self._turn = (self._turn + 1) % len(self._slots)
        connection = self._slots[self._turn]
        return None if connection is None or connection.closed else connection

    async def connection(self) -> RpcConnection:
        """The next connection in turn, dialled if need be; callers share the dialling."""
        ready = self.ready()
        if ready is not None:
            return ready
        slot = self._turn
        task = self._dialling.get(slot)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._dial(slot))
            task.add_done_callback(_note_failure)
            self._dialling[slot] = task
        return await asyncio.shield(task)

    async def _dial(self, slot: int) -> RpcConnection:
        try:
            host, port = self.address
            timeout, auth = self._conn_timeout, self._auth
            connection = await RpcConnection.connect(host, port, timeout, auth=auth)
            self._slots[slot] = connection
            return connection
        finally:
            self._dialling.pop(slot, None)

    def close(self) -> None:
        for task in self._dialling.values():
            task.cancel()
        for connection in self._slots:
            if connection is not None:
                connection.close()


def _note_failure(task: asyncio.Task[T]) -> None:
    """Someone who has left need not hear of a failure: keep asyncio from reporting it."""
    if not task.cancelled():
        task.exception()


class MasterConnector:
    """See the module. ``retry_max`` is the budget for finding the active master, not for a call:
    an attempt with the remembered one comes before it, and the last round may end after it."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        *,
        pool_size: int = 3,
        conn_timeout: float = CONNECT_TIMEOUT,
        rpc_timeout: float = CALL_TIMEOUT,
        retry_max: float = 120.0,
        retry_min_sleep: float = 0.1,
        retry_max_sleep: float = 10.0,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        auth: Auth | None = None,
    ) -> None:
        if not addresses:
            raise ConfigError("no master address is configured (client.master_addrs)")
        size = max(1, pool_size)
        self._masters = [_Master(name, size, conn_timeout, auth) for name in addresses]
        self._rpc_timeout = rpc_timeout
        self._retry_max = retry_max
        self._retry_min_sleep = retry_min_sleep
        self._retry_max_sleep = retry_max_sleep
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self.seq_id = SEQ_NONE  # of every request; a master of ours may give us a number
        self._leader: _Master | None = None
        self._searches: set[asyncio.Task[None]] = set()  # of call_nowait

    @property
    def leader(self) -> tuple[str, int] | None:
        """The address of the master that answered last, if none failed since."""
        return self._leader.address if self._leader is not None else None

    async def call(
        self,
        code: int,
        header: bytes = b"",
        *,
        req_id: int | None = None,
        timeout: float | None = None,
        data: Buffer = b"",
    ) -> Frame:
        """Ask the active master. Raises the error that it answers with, or NoMaster when no
        active master was found within the budget. ``timeout`` is for one try."""
        if req_id is None:
            req_id = new_req_id()
        leader = self._leader
        failure: CurvineError | None = None
        if leader is not None:
            try:
                return await self._try(leader, code, header, req_id, timeout, data)
            except RETRYABLE as error:
                failure = error
                self._forget(leader)
        return await self._search(code, header, req_id, timeout, data, failure)

    def call_nowait(
        self, code: int, header: bytes, callback: Callback, *, req_id: int | None = None
    ) -> None:
        """Like ``call`` for hot callers: no Task and no future while the remembered master
        answers. ``callback`` gets the reply or the error, exactly once, later."""
        key = new_req_id() if req_id is None else req_id
        leader = self._leader
        connection = leader.ready() if leader is not None else None

        def on_result(result: Frame | CurvineError) -> None:
            if isinstance(result, RETRYABLE):
                if leader is not None:
                    self._forget(leader)
                self._search_later(code, header, key, callback)
            else:
                callback(result)

        if connection is None:
            self._search_later(code, header, key, callback)
        else:
            connection.call_nowait(
                code, header, on_result, req_id=key, timeout=self._rpc_timeout, seq_id=self.seq_id
            )

    async def close(self) -> None:
        """Close every connection; calls in flight fail."""
        searches = list(self._searches)
        for task in searches:
            task.cancel()
        await asyncio.gather(*searches, return_exceptions=True)
        for master in self._masters:
            master.close()

    # -- one try ----------------------------------------------------------------------------------

    async def _try(
        self,
        master: _Master,
        code: int,
        header: bytes,
        req_id: int,
        timeout: float | None,
        data: Buffer,
    ) -> Frame:
        connection = await master.connection()
        seconds = self._rpc_timeout if timeout is None else timeout
        return await connection.call(
            code, header, req_id=req_id, timeout=seconds, data=data, seq_id=self.seq_id
        )

    def _forget(self, master: _Master) -> None:
        if self._leader is master:
            self._leader = None

    # -- finding the active master ----------------------------------------------------------------

    async def _search(
        self,
        code: int,
        header: bytes,
        req_id: int,
        timeout: float | None,
        data: Buffer,
        failure: CurvineError | None = None,
    ) -> Frame:
        begin = self._clock.monotonic()
        pause = self._retry_min_sleep
        while True:
            try:
                return await self._round(code, header, req_id, timeout, data)
            except RETRYABLE as error:
                failure = error
            left = begin + self._retry_max - self._clock.monotonic()
            if left <= 0:
                break
            names = ", ".join(describe(master.address) for master in self._masters)
            _once.log(
                logging.WARNING,
                names,
                "no active master at %s (%s); each call is tried again for %g s",
                names,
                failure,
                self._retry_max,
            )
            # The last pause is cut, so that one more round begins when the budget ends.
            await self._sleep(min(pause, left))
            pause = min(pause * 2, self._retry_max_sleep)
        names = ", ".join(describe(master.address) for master in self._masters)
        raise NoMaster(
            f"failed to determine after {self._retry_max:g} s which master is active, for"
            f" {code_name(code)}; asked {names}; last: {failure}"
        )

    async def _round(
        self, code: int, header: bytes, req_id: int, timeout: float | None, data: Buffer
    ) -> Frame:
        """Ask all masters at once; the first success or final error wins."""
        loop = asyncio.get_running_loop()
        asked = {
            loop.create_task(self._try(master, code, header, req_id, timeout, data)): master
            for master in self._masters
        }
        failure: CurvineError | None = None
        waiting = set(asked)
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if isinstance(error, RETRYABLE):
                        # What keeps the leader from answering tells more than "not the leader".
                        if failure is None or isinstance(failure, NotLeader):
                            failure = error
                        continue
                    self._leader = asked[task]
                    return task.result()
        finally:
            for task in asked:
                task.add_done_callback(_note_failure)
                task.cancel()
        raise failure or ConnectionLost("no master was asked")

    def _search_later(self, code: int, header: bytes, req_id: int, callback: Callback) -> None:
        task = asyncio.get_running_loop().create_task(
            self._search_for(code, header, req_id, callback)
        )
        self._searches.add(task)
        task.add_done_callback(self._searches.discard)

    async def _search_for(self, code: int, header: bytes, req_id: int, callback: Callback) -> None:
        result: Frame | CurvineError
        try:
            result = await self._search(code, header, req_id, None, b"")
        except CurvineError as error:
            result = error
        except asyncio.CancelledError:
            callback(ConnectionLost("the client is closing"))
            raise
        callback(result)
