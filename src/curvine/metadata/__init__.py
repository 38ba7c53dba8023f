# SPDX-License-Identifier: Apache-2.0
"""The metadata engine: namespace, block table, mounts and locks on RocksDB. Knows no network."""

from curvine.metadata.answers import DeltaPage, SnapshotEntry, SnapshotPage, StoredFile
from curvine.metadata.durability import SyncMode
from curvine.metadata.engine import Namespace
from curvine.metadata.store import StoreOptions
from curvine.metadata.values import (
    Change,
    ChangeKind,
    ExpiredInode,
    Limits,
    LostBlocks,
    StoredBlock,
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
