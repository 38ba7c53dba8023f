# SPDX-License-Identifier: Apache-2.0
"""A peer that resets its connection inside a frame, at once: no descriptor is kept for it."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
import uvloop

from curvine.rpc.server import RpcServer


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_a_reset_inside_a_frame_closes_the_connection(run: object) -> None:
    async def body() -> None:
        server = RpcServer({}, name="test", ordered=True)
        host, port = await server.start("127.0.0.1", 0)
        for _ in range(5):
            with socket.create_connection((host, port)) as peer:
                peer.sendall(b"\0\0")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for _ in range(1000):  # until they have arrived
            if server.connections:
                break
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while server.connections:  # noqa: ASYNC110  # nothing tells when one has gone
                await asyncio.sleep(0.01)
        await server.close()

    assert callable(run)
    run(body())
