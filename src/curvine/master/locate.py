# SPDX-License-Identifier: Apache-2.0
"""From stored blocks (worker ids) to located blocks (addresses), encoded.

Rules of control-plane specification 5.9: committed locations are filtered to registered workers; a
block with recorded locations of which none is registered is an error. A block without any record
is shown without locations. Only the reply to AddBlock and AssignWorker names the pre-assigned
workers.
"""

from __future__ import annotations

from curvine.errors import Common
from curvine.master.status_bytes import status_field
from curvine.master.workers import WorkerMap
from curvine.metadata.answers import StoredFile
from curvine.metadata.values import StoredBlock
from curvine.model.inode import StorageType
from curvine.wire.convert import fill_alloc
from curvine.wire.pb import common_pb2


class Locator:
    """Fills block messages with the addresses of registered workers."""

    def __init__(self, workers: WorkerMap) -> None:
        self._addresses = workers.addresses

    def file_blocks(self, file: StoredFile, readable: bool = True) -> bytes:
        """A file with its blocks, a FileBlocksProto. Common where it must be ``readable`` and is
        not."""
        out = common_pb2.FileBlocksProto()
        for block in file.blocks:
            located = out.block_locs.add()
            _fill_block(located, block)
            if block.locations:
                self._add(located, [location.worker_id for location in block.locations])
                if readable and not located.locs:
                    raise Common(
                        f"Block {block.id} of {file.path}: all replicas has been lost, "
                        f"no worker that holds it is registered"
                    )
        return status_field(file.inode, file.path) + out.SerializePartialToString()

    def fill_target(self, out: common_pb2.LocatedBlockProto, block: StoredBlock) -> None:
        """Write a block for its writer: committed locations, else the workers chosen for it."""
        _fill_block(out, block)
        self._add(out, block.worker_ids)

    def _add(
        self, out: common_pb2.LocatedBlockProto, worker_ids: list[int] | tuple[int, ...]
    ) -> None:
        for worker_id in worker_ids:
            address = self._addresses.get(worker_id)
            if address is not None:
                out.locs.append(address)


def _fill_block(out: common_pb2.LocatedBlockProto, block: StoredBlock) -> None:
    inner = out.block
    inner.id = block.id
    inner.block_size = block.len  # the wire's name for the current length
    inner.storage_type = block.storage_type  # type: ignore[assignment]  # enums are ints to protobuf
    inner.file_type = block.file_type  # type: ignore[assignment]  # as above
    if block.alloc_opts is not None:
        fill_alloc(inner.alloc_opts, block.alloc_opts)
    out.offset = 0
    out.has_spdk = any(
        location.storage_type is StorageType.SPDK_DISK for location in block.locations
    )
