# SPDX-License-Identifier: Apache-2.0
"""The metadata in pages, for readers that keep a copy (control-plane specification 5.16).

A block whose workers are all away is shown without locations; a real master refuses the whole page
because of it.
"""

from __future__ import annotations

import asyncio
from functools import partial

from curvine.master.dispatch import Answer
from curvine.master.services import Services
from curvine.master.turns import in_turns
from curvine.metadata import DeltaPage
from curvine.metadata.answers import StoredFile
from curvine.wire.convert import fill_status
from curvine.wire.pb import master_pb2


async def snapshot_page(
    master: Services, request: master_pb2.GetCvMetadataSnapshotPageRequest, _req_id: int
) -> bytes:
    """Code 28. Made in pieces, with other calls in between; joined they are one message."""
    chunks = master.namespace.snapshot_chunks(request.page_token or None, request.page_size)
    pieces: list[bytes] = []
    while True:
        out = master_pb2.GetCvMetadataSnapshotPageResponse()
        try:
            for entry in next(chunks):
                if entry.file is not None:
                    _fill(master, out.entries.add(), entry.file)
        except StopIteration as stop:
            next_token, out.epoch = stop.value
            if next_token is not None:
                out.next_page_token = next_token
            pieces.append(out.SerializeToString())
            return b"".join(pieces)
        pieces.append(out.SerializePartialToString())
        await asyncio.sleep(0)


def delta_page(
    master: Services, request: master_pb2.GetCvMetadataDeltaPageRequest, _req_id: int
) -> Answer:
    """Code 29. A target older than now cannot be answered and asks for a snapshot."""
    steps = master.namespace.delta_steps(
        request.from_epoch,
        request.target_epoch if request.HasField("target_epoch") else None,
        request.page_token or None,
        request.page_size,
    )
    return in_turns(steps, partial(_delta_answer, master))


def _delta_answer(master: Services, page: DeltaPage) -> bytes:
    out = master_pb2.GetCvMetadataDeltaPageResponse(
        from_epoch=page.from_epoch,
        to_epoch=page.to_epoch,
        full_snapshot_required=page.full_snapshot_required,
    )
    for entry in page.entries:
        row = out.entries.add()
        row.path = entry.path
        if entry.file is not None:
            _fill(master, row.entry, entry.file)
    if page.next_token is not None:
        out.next_page_token = page.next_token
    return out.SerializeToString()


def _fill(master: Services, out: master_pb2.CvMetadataSnapshotEntryProto, file: StoredFile) -> None:
    fill_status(out.status, file.status)
    if not file.inode.is_dir:
        out.blocks.MergeFromString(master.locator.file_blocks(file, readable=False))
