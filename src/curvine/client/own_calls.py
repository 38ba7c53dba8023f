# SPDX-License-Identifier: Apache-2.0
"""Calls that only masters of ours understand; each names the capability that announces it."""

from __future__ import annotations

from curvine.client.master_calls import MasterCalls
from curvine.model.inode import ContentSummary, FileStatus
from curvine.wire.codes import RpcCode
from curvine.wire.convert import decode_summary
from curvine.wire.pb import ext_pb2
from curvine.wire.pb import master_pb2 as pb


class OwnCalls(MasterCalls):
    """See the module."""

    async def content_summary(self, path: str, *, wait_ms: int | None = None) -> ContentSummary:
        """What ``path`` amounts to with everything below it (CAP_SUMMARY).

        The first time a directory has to be walked: the answer is incomplete if that takes longer
        than ``wait_ms`` (10 s, at most 60), and the master goes on counting.
        """
        request = ext_pb2.ContentSummaryRequest(path=path)
        if wait_ms is not None:
            request.wait_ms = wait_ms
        frame = await self._master.call(
            RpcCode.CONTENT_SUMMARY, request.SerializeToString(), req_id=self._new_req_id()
        )
        return decode_summary(frame.header)

    async def replace(self, src: str, expected: FileStatus, *, req_id: int | None = None) -> None:
        """Move a file to where ``expected`` is, if that is there still and has not changed
        (CAP_EXPECT). NotFound, Common."""
        dst = expected.path
        request = pb.RenameRequest(
            src=src, dst=dst, flags=0, expected_id=expected.id, expected_mtime=expected.mtime
        )
        await self._call(RpcCode.RENAME, request, pb.RenameResponse, req_id, (src, dst))

    async def delete_same(self, expected: FileStatus, *, req_id: int | None = None) -> None:
        """Remove a file if it is there still and has not changed (CAP_EXPECT_DELETE). NotFound,
        Common."""
        request = pb.DeleteRequest(
            path=expected.path, recursive=False,
            expected_id=expected.id, expected_mtime=expected.mtime,
        )  # fmt: skip
        await self._call(RpcCode.DELETE, request, pb.DeleteResponse, req_id, (expected.path,))
