# SPDX-License-Identifier: Apache-2.0
"""Engine and reference model side by side: every call goes to both, every answer is compared."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from namespace_process import NamespaceProcess, Raised
from namespace_reference import MIB, ReferenceNamespace, Refused

from curvine.metadata import Limits, Namespace
from curvine.model.block import AllocOpts, BlockLocation, CommitBlock
from curvine.model.inode import CreateOpts, FileType, MkdirOpts, SetAttr


def _write(ns: Namespace, path: str, length: int, client: str, only_flush: bool) -> None:
    """Append a block of ``length`` bytes the way a client does."""
    stored = ns.open_write(path, CreateOpts(client_name=client), 0x1)
    last = stored.blocks[-1].id if stored.blocks else None
    block = ns.add_block(
        path,
        inode_id=stored.status.id,
        file_len=stored.status.len,
        last_block_id=last,
        choose=lambda _: (7,),
    )
    commit = CommitBlock(block.id, length, (BlockLocation(7),))
    ns.complete(
        path,
        inode_id=stored.status.id,
        length=stored.status.len + length,
        client_name=client,
        commits=[commit],
        only_flush=only_flush,
    )


def _tree(ns: Namespace) -> list[tuple[Any, ...]]:
    found = []
    token = None
    while True:
        page = ns.snapshot_page(token, 7)
        for entry in page.entries:
            assert entry.file is not None
            status = entry.file.status
            main_path = ns.path_of(status.id)
            assert main_path is not None
            assert ns.status(main_path).id == status.id
            assert [child.path for child in ns.list_status(entry.path)] == [
                child.path for child in ns.list_options(entry.path)
            ]
            found.append(
                (
                    entry.path,
                    status.file_type,
                    status.mode,
                    status.group,
                    status.mtime,
                    status.ctime,
                    status.nlink,
                    status.len,
                    status.target,
                    status.x_attr.get("user.x"),
                    [block.len for block in entry.file.blocks],
                    status.is_complete,
                )
            )
        token = page.next_token
        if token is None:
            return found


def _reclaim(ns: Namespace) -> None:
    while ns.reclaim_step(2):
        pass


_KINDS = {"dir": FileType.DIR, "file": FileType.FILE, "link": FileType.LINK}


class Duel:
    """One engine in a child process, one model beside it, the same calls for both."""

    def __init__(self, at_once: int) -> None:
        self.directory = tempfile.mkdtemp(prefix="curvine-model-")
        self.engine = NamespaceProcess(self.directory, Limits(delete_at_once=at_once))
        self.model = ReferenceNamespace()
        self.model.root.mtime = self.engine.now
        self.at_once = at_once
        self.req_id = 0
        self.log: list[tuple[Any, ...]] = []

    def close(self) -> None:
        self.engine.close()
        shutil.rmtree(self.directory)

    def path(self, number: int, below: str) -> str:
        """One of the existing paths, or a name below one."""
        paths = [path for path, _ in self.model.walk()]
        return (paths[number % len(paths)] + below).replace("//", "/")

    def both(
        self, model: Callable[[], Any], call: str | Callable[..., Any], *args: Any, **named: Any
    ) -> tuple[Any, Any]:
        """Run on both sides; the same error or the results (engine, model)."""
        self.log.append((call, args, named))
        self.model.now = self.engine.tick()
        try:
            expected, refused = model(), None
        except Refused as error:
            expected, refused = None, error.kind
        try:
            got, raised = self.engine.run(call, *args, **named), None
        except Raised as error:
            got, raised = None, error.kind
        assert raised == refused, (raised, refused, self.log[-1])
        return got, expected

    def next_id(self) -> int:
        self.req_id -= 1
        return self.req_id

    def mkdir(self, path: str, parents: bool, mode: int, group: str) -> None:
        self.both(
            lambda: self.model.mkdir(path, parents, mode, group),
            "mkdir",
            path,
            MkdirOpts(parents, mode, "", group),
            req_id=self.next_id(),
        )

    def create(
        self, path: str, flags: int, parents: bool, mode: int, client: str, again: bool
    ) -> None:
        opts = CreateOpts(client, parents, mode=mode, block_size=MIB)
        rid = self.next_id()
        got, _ = self.both(
            lambda: self.model.create(path, flags, parents, mode, client),
            "create",
            path,
            opts,
            flags,
            req_id=rid,
        )
        if again and got is not None:
            # A replay, possibly to a master that has died since, is answered and not executed.
            if rid % 2:
                self.engine.kill()
            assert self.engine.run("create", path, opts, flags, req_id=rid).id == got.id

    def open_write(self, path: str, flags: int, client: str) -> None:
        self.both(
            lambda: self.model.open_write(path, flags, client),
            "open_write",
            path,
            CreateOpts(client, block_size=MIB),
            flags,
        )

    def write(self, path: str, length: int, client: str, flush: bool) -> None:
        node = self.model.find(path)
        if node is None or node.kind != "file" or any(size != MIB for size in node.blocks):
            return  # only whole blocks may be followed by another one
        node.writers.add(client)
        self.both(
            lambda: self.model.write(path, length, client, flush),
            _write,
            path,
            length,
            client,
            flush,
        )

    def resize(self, path: str, length: int) -> None:
        node = self.model.find(path)
        if node is None or node.kind != "link":
            opts = AllocOpts(True, length)
            self.both(lambda: self.model.resize(path, length), "resize", path, opts)

    def delete(self, path: str, recursive: bool) -> None:
        got, expected = self.both(
            lambda: self.model.delete(path, recursive),
            "delete",
            path,
            recursive,
            req_id=self.next_id(),
        )
        if self.at_once < 2000:  # the subtree goes in steps, and the count is not known
            if self.req_id % 3 == 0:
                self.engine.kill()
            self.engine.run(_reclaim)
        elif got is not None:
            assert got.inodes == expected

    def rename(self, src: str, dst: str, flags: int) -> None:
        got, expected = self.both(
            lambda: self.model.rename(src, dst, flags),
            "rename",
            src,
            dst,
            flags,
            req_id=self.next_id(),
        )
        assert got == expected

    def symlink(self, path: str, force: bool, text: str) -> None:
        self.both(lambda: self.model.symlink(text, path, force), "symlink", text, path, force=force)

    def link(self, src: str, dst: str) -> None:
        self.both(lambda: self.model.link(src, dst), "link", src, dst)

    def set_attr(
        self, path: str, recursive: bool, mode: int | None, mtime: int | None, xattr: bytes | None
    ) -> None:
        added = {} if xattr is None else {"user.x": xattr, "\0curvine.ctime": b"no"}
        self.both(
            lambda: self.model.set_attr(path, recursive, mode, mtime, xattr),
            "set_attr",
            path,
            SetAttr(recursive=recursive, mode=mode, mtime=mtime, add_x_attr=added),
            req_id=self.next_id(),
        )

    def check(self) -> None:
        """Everything that can be seen is the same on both sides."""
        expected = [
            (
                path,
                _KINDS[node.kind],
                node.mode,
                node.group,
                node.mtime,
                node.ctime,
                node.nlink,
                node.length,
                node.target,
                node.xattrs.get("user.x"),
                node.blocks,
                node.kind != "dir" and not node.writers,
            )
            for path, node in self.model.walk()
        ]
        assert self.engine.run(_tree) == expected
        assert self.engine.run("counts") == self.model.counts()
