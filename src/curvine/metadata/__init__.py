# SPDX-License-Identifier: Apache-2.0
"""The metadata engine: namespace, block table, mounts and locks on RocksDB. Knows no network."""

from curvine.metadata.durability import SyncMode
from curvine.metadata.engine import Namespace
from curvine.metadata.store import StoreOptions
from curvine.metadata.values import (
    Change,
    ChangeKind,
    DeltaPage,
    ExpiredInode,
    Limits,
    LostBlocks,
    SnapshotEntry,
    SnapshotPage,
    StoredBlock,
    StoredFile,
)

__all__ = [
    "Change",
    "ChangeKind",
    "DeltaPage",
    "ExpiredInode",
    "Limits",
    "LostBlocks",
    "Namespace",
    "SnapshotEntry",
    "SnapshotPage",
    "StoreOptions",
    "StoredBlock",
    "StoredFile",
    "SyncMode",
]
