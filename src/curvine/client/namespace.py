# SPDX-License-Identifier: Apache-2.0
"""Calls to the master about files and directories: one method per RPC, model values in and out.

Every call that changes something takes ``req_id``: repeating a call with the id of its first
attempt does not execute it twice (control-plane specification 5.4). Paths are normalised
absolute Curvine paths. No method retries: the connector below does, with the same id. What is known
of a file (client.locations) answers ``status`` and ``block_locations`` without a call.
"""

from __future__ import annotations

from collections.abc import Sequence

from curvine.client.own_calls import OwnCalls
from curvine.model.block import AllocOpts, CommitBlock, ExtendedBlock, FileBlocks, LocatedBlock
from curvine.model.inode import (
    CreateOpts,
    FileStatus,
    FreeResult,
    MkdirOpts,
    SetAttr,
)
from curvine.model.lock import FileLock
from curvine.model.worker import WorkerAddress
from curvine.wire.codes import RpcCode
from curvine.wire.convert import (
    fill_alloc,
    fill_block,
    fill_client,
    fill_commit,
    fill_create_opts,
    fill_lock,
    fill_mkdir_opts,
    fill_set_attr,
    read_address,
    read_file_blocks,
    read_free_result,
    read_located,
    read_lock,
    read_status,
)
from curvine.wire.pb import common_pb2
from curvine.wire.pb import master_pb2 as pb


class Namespace(OwnCalls):
    """The file and directory calls of one client."""

    # --- reads ----------------------------------------------------------------------------------

    async def status(self, path: str) -> FileStatus:
        """stat; a link is not followed."""
        if self._known is not None and (file := self._known.get(path)) is not None:
            return file.status
        request = pb.GetFileStatusRequest(path=path)
        answer = await self._call(RpcCode.FILE_STATUS, request, pb.GetFileStatusResponse)
        return read_status(answer.status)

    async def exists(self, path: str) -> bool:
        """Whether the path resolves."""
        answer = await self._call(RpcCode.EXISTS, pb.ExistsRequest(path=path), pb.ExistsResponse)
        return answer.exists

    async def list_status(self, path: str) -> list[FileStatus]:
        """The entries of a directory, or what a glob pattern matches."""
        request = pb.ListStatusRequest(path=path, need_location=False)
        answer = await self._call(RpcCode.LIST_STATUS, request, pb.ListStatusResponse)
        return [read_status(status) for status in answer.statuses]

    async def list_options(
        self, path: str, *, limit: int | None = None, start_after: str | None = None
    ) -> list[FileStatus]:
        """One page of a directory: ``limit`` entries whose names sort after ``start_after``."""
        request = pb.ListOptionsRequest(path=path)
        request.options.SetInParent()
        if limit is not None:
            request.options.limit = limit
        if start_after is not None:
            request.options.start_after = start_after
        answer = await self._call(RpcCode.LIST_OPTIONS, request, pb.ListOptionsResponse)
        return [read_status(status) for status in answer.statuses]

    async def block_locations(self, path: str, *, fresh: bool = False) -> FileBlocks:
        """A file with its blocks and the workers that hold them. ``fresh``: what is known has
        proved wrong."""
        if self._known is None:
            return await self._block_locations(path)
        if fresh:
            self._known.forget(path)
        return self._known.get(path) or await self._known.fetch(path, self._block_locations)

    async def _block_locations(self, path: str) -> FileBlocks:
        request = pb.GetBlockLocationsRequest(path=path)
        answer = await self._call(
            RpcCode.GET_BLOCK_LOCATIONS, request, pb.GetBlockLocationsResponse
        )
        return read_file_blocks(answer.blocks)

    async def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        """The lock that would stand in the way of ``lock``, if any."""
        request = pb.GetLockRequest(path=path)
        fill_lock(request.lock, lock)
        answer = await self._call(RpcCode.GET_LOCK, request, pb.GetLockResponse)
        return read_lock(answer.conflict) if answer.HasField("conflict") else None

    # --- changes --------------------------------------------------------------------------------

    async def mkdir(self, path: str, opts: MkdirOpts, *, req_id: int | None = None) -> FileStatus:
        """Make a directory."""
        request = pb.MkdirRequest(path=path)
        fill_mkdir_opts(request.opts, opts)
        answer = await self._call(RpcCode.MKDIR, request, pb.MkdirResponse, req_id)
        return read_status(answer.status)

    async def create_file(
        self,
        path: str,
        opts: CreateOpts,
        flags: int,
        *,
        first_block: bool = False,
        exclude: Sequence[int] = (),
        req_id: int | None = None,
    ) -> FileBlocks:
        """Create a file (code 4): an existing one is refused unless ``flags`` has TRUNC.

        ``first_block``: a master of ours allocates the first block along with it, not on workers
        in ``exclude``."""
        request = pb.CreateFileRequest(path=path, flags=flags)
        if first_block:
            fill_client(request.first_block_for, self._client)
            request.exclude_workers.extend(exclude)
        fill_create_opts(request.opts, opts)
        answer = await self._call(
            RpcCode.CREATE_FILE, request, pb.CreateFileResponse, req_id, (path,)
        )
        status = read_status(answer.file_status)
        if answer.HasField("first_block"):
            return FileBlocks(status, (read_located(answer.first_block),))
        return FileBlocks(status)

    async def open_file(
        self,
        path: str,
        opts: CreateOpts,
        flags: int,
        *,
        first_block: bool = False,
        exclude: Sequence[int] = (),
        req_id: int | None = None,
    ) -> FileBlocks:
        """Open for writing (code 5), creating or emptying the file as ``flags`` say;
        ``first_block`` as in :meth:`create_file`."""
        request = pb.OpenFileRequest(path=path, flags=flags)
        if first_block:
            fill_client(request.first_block_for, self._client)
            request.exclude_workers.extend(exclude)
        fill_create_opts(request.opts, opts)
        answer = await self._call(RpcCode.OPEN_FILE, request, pb.OpenFileResponse, req_id, (path,))
        file = read_file_blocks(answer.file_blocks)
        if answer.HasField("first_block"):
            return FileBlocks(file.status, (read_located(answer.first_block),))
        return file

    async def delete(self, path: str, recursive: bool, *, req_id: int | None = None) -> FreeResult:
        """Remove an entry."""
        request = pb.DeleteRequest(path=path, recursive=recursive)
        answer = await self._call(RpcCode.DELETE, request, pb.DeleteResponse, req_id, (path,))
        return read_free_result(answer.res)

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        """Move an entry; False when both paths are the same."""
        request = pb.RenameRequest(src=src, dst=dst, flags=flags)
        answer = await self._call(RpcCode.RENAME, request, pb.RenameResponse, req_id, (src, dst))
        return answer.result

    async def set_attr(
        self,
        path: str,
        changes: SetAttr,
        *,
        unchanged_since: int | None = None,
        req_id: int | None = None,
    ) -> FileStatus:
        """Change attributes; the new status. With ``unchanged_since`` (a ctime, ms) our masters
        refuse (Common) where the file is open for writing or has changed since."""
        request = pb.SetAttrRequest(path=path)
        if unchanged_since is not None:
            request.unchanged_since = unchanged_since
        fill_set_attr(request.opts, changes)
        answer = await self._call(RpcCode.SET_ATTR, request, pb.SetAttrResponse, req_id, (path,))
        return read_status(answer.status)

    async def symlink(
        self,
        target: str,
        path: str,
        *,
        force: bool = False,
        mode: int = 0o777,
        owner: str = "",
        group: str = "",
        req_id: int | None = None,
    ) -> None:
        """Make a symbolic link at ``path``."""
        request = pb.SymlinkRequest(
            target=target, link=path, force=force, mode=mode, owner=owner, group=group
        )
        await self._call(RpcCode.SYMLINK, request, pb.SymlinkResponse, req_id)

    async def link(self, src: str, dst: str, *, req_id: int | None = None) -> None:
        """Make ``dst`` another name of ``src``."""
        request = pb.LinkRequest(src_path=src, dst_path=dst)
        await self._call(RpcCode.LINK, request, pb.LinkResponse, req_id, (src, dst))

    async def free(self, path: str, recursive: bool, *, req_id: int | None = None) -> FreeResult:
        """Drop cached data whose source is an under storage."""
        request = pb.FreeRequest(path=path, recursive=recursive)
        answer = await self._call(RpcCode.FREE, request, pb.FreeResponse, req_id, (path,))
        return read_free_result(answer.res)

    async def set_lock(
        self, path: str, lock: FileLock, *, req_id: int | None = None
    ) -> FileLock | None:
        """Take or release a lock; the conflicting one when it was not granted."""
        request = pb.SetLockRequest(path=path)
        fill_lock(request.lock, lock)
        answer = await self._call(RpcCode.SET_LOCK, request, pb.SetLockResponse, req_id)
        return read_lock(answer.conflict) if answer.HasField("conflict") else None

    # --- blocks ---------------------------------------------------------------------------------

    async def add_block(
        self,
        path: str,
        *,
        inode_id: int,
        commits: Sequence[CommitBlock],
        file_len: int,
        last_block: ExtendedBlock | None,
        exclude: Sequence[int] = (),
        req_id: int | None = None,
    ) -> LocatedBlock:
        """Report finished blocks and get the block after ``last_block``."""
        request = pb.AddBlockRequest(path=path, located=True, file_len=file_len)
        for commit in commits:
            fill_commit(request.commit_blocks.add(), commit)
        request.exclude_workers.extend(exclude)
        fill_client(request.client_address, self._client)
        if last_block is not None:
            fill_block(request.last_block, last_block)
        request.inode_id = inode_id
        # The reply is the block itself, not AddBlockResponse (specification 5.9).
        answer = await self._call(
            RpcCode.ADD_BLOCK, request, common_pb2.LocatedBlockProto, req_id, (path,)
        )
        return read_located(answer)

    async def complete_file(
        self,
        path: str,
        *,
        inode_id: int,
        length: int,
        commits: Sequence[CommitBlock],
        only_flush: bool,
        set_attr: SetAttr | None = None,
        sync: bool = False,
        drop_unused: bool = False,
        req_id: int | None = None,
    ) -> FileBlocks | None:
        """Report finished blocks; close, or keep open with ``only_flush`` and get the blocks.

        ``drop_unused``: nobody else of this client writes the file; if it is empty, its first block
        goes."""
        request = pb.CompleteFileRequest(
            path=path,
            len=length,
            client_name=self._client.client_name,
            only_flush=only_flush,
            inode_id=inode_id,
            return_file_blocks=True,
        )
        for commit in commits:
            fill_commit(request.commit_blocks.add(), commit)
        if set_attr is not None:
            fill_set_attr(request.set_attr_opts, set_attr)
        if sync:
            request.sync = True
        if drop_unused:
            request.drop_unused = True
        answer = await self._call(
            RpcCode.COMPLETE_FILE, request, pb.CompleteFileResponse, req_id, (path,)
        )
        return read_file_blocks(answer.file_blocks) if answer.HasField("file_blocks") else None

    async def resize(self, path: str, alloc: AllocOpts, *, req_id: int | None = None) -> FileBlocks:
        """Truncate or extend; blocks with ``alloc_opts`` still have to be resized on workers."""
        request = pb.FileResizeRequest(path=path)
        fill_alloc(request.opts, alloc)
        answer = await self._call(
            RpcCode.RESIZE_FILE, request, pb.FileResizeResponse, req_id, (path,)
        )
        return read_file_blocks(answer.file_blocks)

    async def assign_worker(
        self,
        path: str,
        block: ExtendedBlock,
        *,
        exclude: Sequence[int] = (),
        req_id: int | None = None,
    ) -> LocatedBlock:
        """Workers for a block that has none yet."""
        request = pb.AssignWorkerRequest(path=path)
        fill_block(request.block, block)
        request.exclude_workers.extend(exclude)
        fill_client(request.client_address, self._client)
        answer = await self._call(RpcCode.ASSIGN_WORKER, request, pb.AssignWorkerResponse, req_id)
        return read_located(answer.block)

    async def replacement_worker(self, block_id: int, exclude: Sequence[int]) -> WorkerAddress:
        """A worker for one more replica of a block (code 44; a real master does not answer it)."""
        request = pb.RequestReplacementWorkerRequest(block_id=block_id, exclude_workers=exclude)
        answer = await self._call(
            RpcCode.REQUEST_REPLACEMENT_WORKER, request, pb.RequestReplacementWorkerResponse
        )
        return read_address(answer.worker)
