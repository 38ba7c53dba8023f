# SPDX-License-Identifier: Apache-2.0
"""Answers that hold whole records: files with their blocks, pages of the namespace."""

from __future__ import annotations

import msgspec

from curvine.metadata.records import Inode, status_of
from curvine.metadata.values import StoredBlock
from curvine.model.inode import FileStatus


class StoredFile(msgspec.Struct, frozen=True):
    """A file as it is stored, under one of its paths; blocks in file order, ids ascending."""

    inode: Inode
    path: str
    blocks: tuple[StoredBlock, ...] = ()

    @property
    def status(self) -> FileStatus:
        """What stat tells of it."""
        return status_of(self.inode, self.path)


class SnapshotEntry(msgspec.Struct, frozen=True):
    """One inode of a metadata page; ``file`` is None where the path is gone (delta pages)."""

    path: str
    file: StoredFile | None


class SnapshotPage(msgspec.Struct, frozen=True):
    """A page of the namespace in pre-order (5.16)."""

    entries: tuple[SnapshotEntry, ...]
    next_token: str | None
    epoch: int


class DeltaPage(msgspec.Struct, frozen=True):
    """A page of what changed between two epochs (5.16)."""

    entries: tuple[SnapshotEntry, ...]
    next_token: str | None
    from_epoch: int
    to_epoch: int
    full_snapshot_required: bool = False
