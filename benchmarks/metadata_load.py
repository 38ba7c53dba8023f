# SPDX-License-Identifier: Apache-2.0
"""Fill a namespace with many files, in-process: what the metadata benchmarks ask about.

The records are those that a client's create, write and close leave behind: each file has one block
of 100 KiB on worker 7. They go through the engine's own batches (one a directory), write-ahead log
and caches included, so the store looks as after years of service; only the sockets are left out.
Usage: python benchmarks/metadata_load.py DIRECTORY FILES
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from curvine.metadata import Namespace
from curvine.metadata.draft import Draft
from curvine.metadata.records import RECORD_VERSION, Block, Inode
from curvine.metadata.rules import tree
from curvine.model.inode import FileType, MkdirOpts, StorageType

WORKER = 7
PER_DIRECTORY = 1000
LENGTH = 100 * 1024  # bytes


def path_of(number: int) -> str:
    """The path of the file of that number."""
    directory, index = divmod(number, PER_DIRECTORY)
    return f"/data/part-{directory:05}/sample-{index:06}.jpg"


class Loader(Namespace):
    """A namespace that can take whole directories at once."""

    def add_directory(self, number: int, files: int) -> None:
        """A directory with ``files`` complete files, in one batch."""
        draft = Draft(self._view, self._clock.now_ms())
        name = f"part-{number:05}"
        parent = draft.resolve("/data")
        made = tree.new_directory(draft, parent, f"/data/{name}", name, MkdirOpts(mode=0o755))
        now, kind = draft.now, StorageType.SSD
        for index in range(files):
            inode_id = draft.allocate()
            file_name = f"sample-{index:06}.jpg"
            draft.put(
                Inode(
                    RECORD_VERSION,
                    inode_id,
                    FileType.FILE,
                    made.id,
                    file_name,
                    0o644,
                    "user",
                    "group",
                    now,
                    now,
                    len=LENGTH,
                    storage_type=kind,
                    replicas=1,
                    block_size=128 << 20,
                    next_seq=1,
                    block_num=1,
                    block_bytes=LENGTH,
                )
            )
            draft.put_entry(made.id, file_name, inode_id)
            where = ((WORKER, int(kind)),)
            draft.put_block(Block(RECORD_VERSION, inode_id << 24, LENGTH, locations=where), None)
        draft.files += files
        draft.put(tree.touched_parent(draft, draft.existing(made.id), files, 0))
        draft.changes.clear()  # nobody watches
        self._commit(draft)

    def settle(self) -> None:
        """Memtables to files, as they are after some minutes of quiet."""
        self._store.flush()


def load(path: Path, files: int) -> float:
    """Add ``files`` files; seconds that it took."""
    start = time.monotonic()
    namespace = Loader(str(path))
    try:
        namespace.mkdir("/data", MkdirOpts(create_parent=True))
        for number in range((files + PER_DIRECTORY - 1) // PER_DIRECTORY):
            namespace.add_directory(number, min(PER_DIRECTORY, files - number * PER_DIRECTORY))
            if number % 1000 == 999:
                pace = number * PER_DIRECTORY / (time.monotonic() - start)
                print(f"  {number + 1} directories, {pace:,.0f} files/s", flush=True)
        namespace.settle()
    finally:
        namespace.close()
    return time.monotonic() - start


if __name__ == "__main__":
    print(f"{load(Path(sys.argv[1]), int(sys.argv[2])):.1f} s")
