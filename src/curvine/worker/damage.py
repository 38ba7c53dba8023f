# SPDX-License-Identifier: Apache-2.0
"""Telling the master which replicas of this worker are lost, until it has heard (code 45, ours).

A master that does not know the call is told by an incremental block report instead, as if the block
had been deleted (code 41, data-plane specification 2.9). Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

from curvine.errors import CurvineError, TimedOut
from curvine.rpc.connector import MasterConnector, new_req_id
from curvine.wire.codes import RpcCode
from curvine.wire.pb import master_pb2, worker_pb2

_log = logging.getLogger(__name__)
_PAUSE = 1.0
_AT_ONCE = 1000  # blocks of one report


class DamageReports:
    """What is still to be told."""

    def __init__(self, master: MasterConnector, cluster_id: str, worker_id: int) -> None:
        self._master = master
        self._cluster_id = cluster_id
        self._worker_id = worker_id
        self._waiting: dict[int, str] = {}
        self._wake = asyncio.Event()

    def tell(self, block: int, reason: str) -> None:
        """A replica of this worker is lost."""
        self._waiting[block] = reason
        self._wake.set()

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                blocks = list(islice(self._waiting, _AT_ONCE))
                if await self._heard(blocks):
                    for block in blocks:
                        self._waiting.pop(block, None)
                else:
                    await asyncio.sleep(_PAUSE)

    async def _heard(self, blocks: list[int]) -> bool:
        request = master_pb2.ReportUnderReplicatedBlocksRequest(block_ids=blocks)
        request.damaged_on = self._worker_id
        code = RpcCode.REPORT_UNDER_REPLICATED_BLOCKS
        try:
            await self._master.call(code, request.SerializeToString(), req_id=new_req_id())
            return True
        except TimedOut:
            return False
        except CurvineError as error:
            if error.retryable:
                return False
            _log.info("the master takes no report of damage (%s): %d blocks", error, len(blocks))
        return await self._reported_deleted(blocks)

    async def _reported_deleted(self, blocks: list[int]) -> bool:
        request = worker_pb2.BlockReportListRequest()
        request.cluster_id = self._cluster_id
        request.worker_id = self._worker_id
        request.full_report = False
        request.total_len = len(blocks)
        for block in blocks:
            row = request.blocks.add()
            row.id = block
            row.status = worker_pb2.BLOCK_REPORT_STATUS_PROTO_DELETED
            row.block_size = 0
            row.storage_type = worker_pb2.BlockReportInfoProto().storage_type
        try:
            header = request.SerializeToString()
            await self._master.call(RpcCode.WORKER_BLOCK_REPORT, header, req_id=new_req_id())
        except CurvineError as error:
            _log.warning("the master was not told of %d damaged blocks: %s", len(blocks), error)
            return not (error.retryable or isinstance(error, TimedOut))
        return True
