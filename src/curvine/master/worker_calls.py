# SPDX-License-Identifier: Apache-2.0
"""Calls from the master to workers: one connection a worker, opened when needed.

Source: control-plane specification 6.8. A connection that broke is replaced once per call, because
an idle one may have been closed by the worker in between. Times are seconds.
"""

from __future__ import annotations

import asyncio

from curvine.errors import ConnectionLost
from curvine.model.worker import WorkerAddress
from curvine.rpc.auth import Auth
from curvine.rpc.client import RpcConnection, new_req_id

CONNECT_TIMEOUT = 10.0
CALL_TIMEOUT = 30.0


class WorkerCalls:
    """Connections by (address, port)."""

    def __init__(self, auth: Auth | None = None) -> None:
        self._auth = auth
        self._connections: dict[tuple[str, int], RpcConnection] = {}
        self._connecting: dict[tuple[str, int], asyncio.Lock] = {}

    async def call(self, worker: WorkerAddress, code: int, header: bytes) -> bytes:
        """The header of the worker's reply. Raises what it answered, ConnectionLost, TimedOut."""
        place = (worker.ip_addr, worker.rpc_port)
        req_id = new_req_id()
        known = self._connections.get(place)
        if known is not None and not known.closed:
            try:
                return (await known.call(code, header, req_id=req_id, timeout=CALL_TIMEOUT)).header
            except ConnectionLost:
                pass
        connection = await self._connect(place)
        return (await connection.call(code, header, req_id=req_id, timeout=CALL_TIMEOUT)).header

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    async def _connect(self, place: tuple[str, int]) -> RpcConnection:
        async with self._connecting.setdefault(place, asyncio.Lock()):
            connection = self._connections.get(place)
            if connection is None or connection.closed:
                connection = await RpcConnection.connect(*place, CONNECT_TIMEOUT, auth=self._auth)
                self._connections[place] = connection
            return connection
