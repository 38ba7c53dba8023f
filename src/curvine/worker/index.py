# SPDX-License-Identifier: Apache-2.0
"""Which blocks a worker has, and what readers and reports see of them. Lengths are bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from curvine.errors import BlockNotFound, IoFailed
from curvine.model.inode import StorageType
from curvine.worker.blocks import OpenBlock, Published, State, View


class BlockIndex:
    """``published``: what readers see, by block id. ``open``: what is being written; an id in both
    is a rewrite. Changed by the block store only."""

    def __init__(self, published: dict[int, Published], unfinished: dict[int, OpenBlock]) -> None:
        self.published = published
        self.set_aside: dict[int, str] = {}  # damaged blocks: where their files are now
        self.open = unfinished

    def __len__(self) -> int:
        return len(self.published) + sum(1 for b in self.open if b not in self.published)

    def inventory(self) -> Iterator[tuple[int, int, StorageType, bool]]:
        """(id, length, type, published?) of every block that a full report lists."""
        for block, generation in list(self.published.items()):
            yield block, generation.len, generation.dir.storage_type, True
        for block, open_block in list(self.open.items()):
            if block not in self.published and open_block.staging is not None:
                held = open_block.staging
                yield block, held.length(), held.dir.storage_type, False

    def lengths(self, block: int) -> tuple[int | None, int | None]:
        """Bytes of the generation that is being written, and of the published one."""
        open_block = self.open.get(block)
        held = open_block.staging if open_block is not None else None
        generation = self.published.get(block)
        return held.length() if held else None, generation.len if generation else None

    def view(self, block: int) -> View:
        """What a reader of ``block`` gets: the published generation, else what is being written."""
        open_block = self.open.get(block)
        generation = self.published.get(block)
        settled = open_block is None or open_block.state is not State.FINALIZING
        if generation is not None:
            layout = generation.dir.layout
            return View(
                layout.active_path(block), generation.len, generation.dir.storage_type, settled
            )
        if open_block is None or open_block.staging is None:
            if block in self.set_aside:
                raise IoFailed(f"block {block} is damaged: {self.set_aside[block]}")
            raise BlockNotFound(f"block {block} is not on this worker")
        held = open_block.staging
        return View(held.path, held.length(), held.dir.storage_type, settled)

    def open_file(self, block: int) -> tuple[int, View]:
        """A read-only descriptor of what ``view`` describes; the caller closes it."""
        view = self.view(block)
        try:
            return os.open(view.path, os.O_RDONLY | os.O_CLOEXEC), view
        except FileNotFoundError:
            # Being published by a thread this moment, or somebody removed the file.
            open_block = self.open.get(block)
            if open_block is not None and open_block.staging is not None:
                path = open_block.staging.dir.layout.active_path(block)
                try:
                    return os.open(path, os.O_RDONLY | os.O_CLOEXEC), view
                except OSError:
                    pass
            raise IoFailed(f"the file of block {block} is gone: {view.path}") from None
        except OSError as error:
            raise IoFailed(f"cannot open block {block}: {error.strerror}") from error

    def storage_type(self, open_block: OpenBlock) -> StorageType:
        """The medium that the block really lies on."""
        if open_block.staging is not None:
            return open_block.staging.dir.storage_type
        base = self.published.get(open_block.id)
        return open_block.storage_type if base is None else base.dir.storage_type
