# SPDX-License-Identifier: Apache-2.0
"""Our client before a master that is not ours: what was not announced is never asked for."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.config.schema import ClusterConf
from curvine.config.schema_shared import Endpoint
from curvine.model.worker import ComponentInfo, FilesystemInfo
from curvine.rpc.server import RpcServer
from curvine.rpc.serving import Handler, ServerConnection
from curvine.wire.codes import CAP_SYNC, RpcCode
from curvine.wire.convert_cluster import encode_filesystem_info
from curvine.wire.frame import Frame
from curvine.wire.pb import ext_pb2


def synced(capabilities: list[str]) -> list[int]:
    """The codes that a master with these capabilities sees when a door asks it to sync."""
    seen: list[int] = []

    def info(connection: ServerConnection, frame: Frame) -> bytes:
        seen.append(frame.code)
        about = FilesystemInfo(
            "m:1", (), 0, 0, 0, 0, 0, 0, 0, 0,
            server=ComponentInfo(component="master", capabilities=tuple(capabilities)),
        )  # fmt: skip
        return encode_filesystem_info(about)

    def sync(connection: ServerConnection, frame: Frame) -> bytes:
        seen.append(frame.code)
        return ext_pb2.SyncMetadataResponse(epoch=1).SerializeToString()

    async def body() -> None:
        handlers: dict[int, Handler] = {
            RpcCode.GET_FILESYSTEM_INFO: info,
            RpcCode.SYNC_METADATA: sync,
        }
        server = RpcServer(handlers, name="master", idle_timeout=None)
        host, port = await server.start("127.0.0.1", 0)
        conf = ClusterConf()
        addresses = (Endpoint(hostname=host, port=port),)
        conf = replace(conf, client=replace(conf.client, master_addrs=addresses))
        async with ClusterClient(conf) as cluster:
            fs = UnifiedFileSystem(cluster)
            await fs.sync_metadata()
            await fs.close()
        await server.close()

    asyncio.run(body())
    return seen


def test_a_master_without_the_token_is_not_asked_to_sync() -> None:
    assert RpcCode.SYNC_METADATA not in synced([])
    assert synced([CAP_SYNC]).count(RpcCode.SYNC_METADATA) == 1
