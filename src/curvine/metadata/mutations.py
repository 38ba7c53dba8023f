# SPDX-License-Identifier: Apache-2.0
"""Changing the namespace. Every call takes the request's id and answers a replay of it (5.4).

``req_id`` 0 means that the caller never repeats the request. A replay within ten minutes, also
after a restart, is not executed again: it is answered from the present state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from curvine.errors import Common, NotFound
from curvine.metadata.answers import StoredFile
from curvine.metadata.core import Op
from curvine.metadata.draft import Draft, View
from curvine.metadata.reads import Reads
from curvine.metadata.records import (
    Block,
    Inode,
    RetryRow,
    status_of,
    stored_block,
)
from curvine.metadata.rules import (
    attr,
    blocks,
    create,
    exports,
    links,
    remove,
    rename,
    tree,
)
from curvine.metadata.rules.remove import DETACHED_PARENT
from curvine.metadata.rules.rename import Expected
from curvine.metadata.stepping import Steps, finish
from curvine.metadata.values import ChangeKind, StoredBlock
from curvine.model.block import CommitBlock
from curvine.model.inode import (
    ACCESS_MASK,
    CreateOpts,
    FileStatus,
    FreeResult,
    MkdirOpts,
    OpenFlag,
    SetAttr,
)
from curvine.model.path import join

_WALK_STEP = 100  # inodes changed in one batch by a recursive operation


def _change(
    draft: Draft, inodes: list[tuple[str, int]], change: Callable[[Draft, Inode], None]
) -> None:
    for path, inode_id in inodes:
        inode = draft.inode(inode_id)  # a file with two names may have changed already
        if inode is None:
            continue
        change(draft, inode)
        if draft.inode(inode_id) is not inode:
            draft.note(ChangeKind.ATTR, path, inode)


def _below(view: View, path: str, root: Inode) -> Iterator[tuple[str, int]]:
    pending = [(path, root.id)] if root.is_dir else []
    while pending:
        directory_path, directory_id = pending.pop()
        for name, inode_id in view.children(directory_id):
            child_path = join(directory_path, name)
            yield child_path, inode_id
            inode = view.inode(inode_id)
            if inode is not None and inode.is_dir:
                pending.append((child_path, inode_id))


class Mutations(Reads):
    """The operations of control-plane specification 5.5 to 5.9."""

    # -- names ---------------------------------------------------------------------------------

    def mkdir(self, path: str, opts: MkdirOpts, *, req_id: int = 0) -> FileStatus:
        """Make a directory; with create_parent an existing one is fine."""
        if seen := self._replayed(Op.MKDIR, req_id):
            return self._current(path, seen)

        def rule(draft: Draft) -> Inode:
            inode = tree.mkdir(draft, path, opts)
            exports.directory_made(draft, path, inode)
            return inode

        return self._changed(Op.MKDIR, req_id, path, rule)

    def create(self, path: str, opts: CreateOpts, flags: int, *, req_id: int = 0) -> FileStatus:
        """Create a file, or overwrite it where flags say so."""
        return status_of(self.created(path, opts, flags, req_id=req_id), path)

    def created(self, path: str, opts: CreateOpts, flags: int, *, req_id: int = 0) -> Inode:
        """``create``; the file's record."""
        if seen := self._replayed(Op.CREATE, req_id):
            return self._seen_inode(path, seen)
        limits = self.limits
        return self._subject(
            Op.CREATE, req_id, lambda draft: create.create(draft, path, opts, flags, limits)
        )

    def create_with_block(
        self, path: str, opts: CreateOpts, flags: int, first: blocks.Choose, *, req_id: int = 0
    ) -> StoredFile:
        """``create`` that gives the file its first block as well, on workers of ``first``."""
        if seen := self._replayed(Op.CREATE, req_id):
            return self._file(path, self._seen_inode(path, seen))

        def rule(draft: Draft) -> Inode:
            inode = create.create(draft, path, opts, flags, self.limits)
            draft.subject = inode.id
            return blocks.with_first_block(draft, path, inode, first)

        return self._file(path, self._mutate(Op.CREATE, req_id, rule))

    def open_write(
        self,
        path: str,
        opts: CreateOpts,
        flags: int,
        *,
        first: blocks.Choose | None = None,
        req_id: int = 0,
    ) -> StoredFile:
        """Open for writing by ``opts.client_name``; read-only flags give the block list. With
        ``first`` an empty file gets its first block as well, on workers of it."""
        if flags & ACCESS_MASK == OpenFlag.RDONLY:
            return self.file_blocks(path)
        if seen := self._replayed(Op.OPEN_WRITE, req_id):
            return self._file(path, self._seen_inode(path, seen))

        def rule(draft: Draft) -> Inode:
            inode = create.open_write(draft, path, opts, flags, self.limits)
            draft.subject = inode.id
            return inode if first is None else blocks.with_first_block(draft, path, inode, first)

        return self._file(path, self._mutate(Op.OPEN_WRITE, req_id, rule))

    def symlink(
        self,
        target: str,
        link: str,
        *,
        force: bool = False,
        mode: int = 0o777,
        owner: str = "",
        group: str = "",
        req_id: int = 0,
    ) -> FileStatus:
        """A symbolic link; the target is stored as it is."""
        if seen := self._replayed(Op.SYMLINK, req_id):
            return self._current(link, seen)

        def rule(draft: Draft) -> Inode:
            inode = links.symlink(draft, target, link, force, mode, owner, group)
            exports.link_made(draft, link, inode)
            return inode

        return self._changed(Op.SYMLINK, req_id, link, rule)

    def link(self, src: str, dst: str, *, req_id: int = 0) -> FileStatus:
        """A hard link ``dst`` to the file ``src``."""
        if seen := self._replayed(Op.LINK, req_id):
            return self._current(dst, seen)

        def rule(draft: Draft) -> Inode:
            inode = links.link(draft, src, dst)
            exports.name_added(draft, dst, inode)
            return inode

        return self._changed(Op.LINK, req_id, dst, rule)

    def rename(
        self, src: str, dst: str, flags: int = 0, expected: Expected = None, *, req_id: int = 0
    ) -> bool:
        """Rename; False only where both paths are the same. NotFound or Common unless ``dst`` is
        as ``expected``."""
        if self._replayed(Op.RENAME, req_id):
            return True

        def rule(draft: Draft) -> bool:
            source = draft.view.resolve(src)
            moved = rename.rename(draft, src, dst, int(flags), expected)
            if source is not None:
                exports.renamed(draft, src, dst, source, int(flags))
            return moved

        return self._mutate(Op.RENAME, req_id, rule)

    def delete(
        self, path: str, recursive: bool = False, *, req_id: int = 0, expected: Expected = None
    ) -> FreeResult:
        """Delete. A subtree above ``limits.delete_at_once`` is gone at once and reclaimed by
        :meth:`Expiry.reclaim_step` (``delete_steps`` waits for it). Common if not ``expected``."""
        if self._replayed(Op.DELETE, req_id):
            return FreeResult()
        mounts, at_once = self._view.mounts, self.limits.delete_at_once

        def rule(draft: Draft) -> FreeResult:
            inode = remove.expected_at(draft, path, expected)
            result = remove.delete(draft, path, recursive, mounts, at_once)
            if inode is not None:
                exports.deleted(draft, path, inode)
            return result

        return self._mutate(Op.DELETE, req_id, rule)

    # -- attributes ----------------------------------------------------------------------------

    def set_attr(self, path: str, opts: SetAttr, *, req_id: int = 0) -> FileStatus:
        """Change attributes; recursive passes owner, group and mode to everything below."""
        return finish(self.set_attr_steps(path, opts, req_id=req_id))

    def set_attr_steps(self, path: str, opts: SetAttr, *, req_id: int = 0) -> Steps[FileStatus]:
        """The same in steps (one, if not recursive).

        A small tree changes as one. Else the path itself changes last, so that an interrupted call
        is repeated whole.
        """
        if seen := self._replayed(Op.SET_ATTR, req_id):
            return self._current(path, seen)
        few: list[tuple[str, int]] = []
        passed_on = attr.inherited(opts)

        def inherit(draft: Draft, inode: Inode) -> None:
            draft.put(attr.with_attributes(inode, passed_on, draft.now))

        if opts.recursive:
            root = Draft(self._view, 0).resolve(path)
            few = list(islice(_below(self._view, path, root), _WALK_STEP))
            if len(few) == _WALK_STEP:
                few = []
                yield from self._walk(path, root, inherit)

        def rule(draft: Draft) -> Inode:
            _change(draft, few, inherit)
            inode = attr.with_attributes(draft.resolve(path), opts, draft.now)
            draft.put(inode)
            draft.note(ChangeKind.ATTR, path, inode)
            return inode

        return self._changed(Op.SET_ATTR, req_id, path, rule)

    def free(self, path: str, recursive: bool = False, *, req_id: int = 0) -> FreeResult:
        """Drop cached data, keep the metadata, by each file's own TTL action."""
        return finish(self.free_steps(path, recursive, req_id=req_id))

    def free_steps(
        self, path: str, recursive: bool = False, *, req_id: int = 0
    ) -> Steps[FreeResult]:
        """The same in steps (one, if not recursive)."""
        if path == "/":
            raise Common("The root directory can not be freed")
        if self._replayed(Op.FREE, req_id):
            return FreeResult()
        root = Draft(self._view, 0).resolve(path)
        files = size = 0

        def drop_data(draft: Draft, inode: Inode) -> None:
            nonlocal files, size
            result = attr.free_file(draft, inode)
            files += result.inodes
            size += result.bytes

        if root.is_dir:
            if recursive:
                yield from self._walk(path, root, drop_data)
            return FreeResult(files, size)

        def rule(draft: Draft) -> None:
            draft.subject = root.id
            drop_data(draft, root)
            if not draft.is_empty:
                draft.note(ChangeKind.ATTR, path, root)

        self._mutate(Op.FREE, req_id, rule)
        return FreeResult(files, size)

    # -- blocks --------------------------------------------------------------------------------

    def add_block(
        self,
        path: str,
        *,
        inode_id: int = 0,
        commits: Sequence[CommitBlock] = (),
        file_len: int = 0,
        last_block_id: int | None = None,
        choose: blocks.Choose,
        req_id: int = 0,
    ) -> StoredBlock:
        """The block after the caller's last one. ``choose`` names workers for a new one."""

        def rule(draft: Draft) -> tuple[Inode, Block]:
            return blocks.add_block(draft, path, inode_id, commits, file_len, last_block_id, choose)

        inode, block = self._mutate(Op.ADD_BLOCK, req_id, rule)
        return stored_block(inode, block)

    def complete(
        self,
        path: str,
        *,
        inode_id: int = 0,
        length: int,
        client_name: str,
        commits: Sequence[CommitBlock] = (),
        only_flush: bool = False,
        set_attr: SetAttr | None = None,
        drop_unused: bool = False,
        req_id: int = 0,
    ) -> StoredFile:
        """Close or flush. The block list is filled for a flush only."""
        seen = self._replayed(Op.COMPLETE, req_id)
        if seen is not None:
            # Replicas may have moved since; what the first answer stood for is already stored.
            inode = self._view.inode(seen.inode_id)
            if inode is None:  # not to be done to another file that has the name now
                raise NotFound(f"File {path} (inode {seen.inode_id}) not found")
            return self._file(path, inode) if only_flush else StoredFile(inode, path)

        def rule(draft: Draft) -> Inode:
            inode = blocks.complete(
                draft, path, inode_id, length, client_name, commits, only_flush, set_attr,
                drop_unused,
            )  # fmt: skip
            if not only_flush:
                exports.content_changed(draft, inode)
            draft.subject = inode.id
            return inode

        inode = self._mutate(Op.COMPLETE, req_id, rule)
        return self._file(path, inode) if only_flush else StoredFile(inode, path)

    # -- parts ---------------------------------------------------------------------------------

    def _changed(
        self, op: Op, req_id: int, path: str, rule: Callable[[Draft], Inode]
    ) -> FileStatus:
        """Run a rule that gives the inode at ``path``."""
        return status_of(self._subject(op, req_id, rule), path)

    def _subject(self, op: Op, req_id: int, rule: Callable[[Draft], Inode]) -> Inode:
        """Run a rule that gives the inode that the change is about."""
        draft = Draft(self._view, self._clock.now_ms())
        inode = rule(draft)
        draft.subject = inode.id
        self._commit(draft, op, req_id)
        return inode

    def _seen_inode(self, path: str, seen: RetryRow) -> Inode:
        """The inode that the first answer was about, or what the path is now."""
        inode = self._view.inode(seen.inode_id) if seen.inode_id else None
        if inode is not None and inode.parent != DETACHED_PARENT:
            return inode
        return Draft(self._view, 0).resolve(path)

    def _current(self, path: str, seen: RetryRow) -> FileStatus:
        return status_of(self._seen_inode(path, seen), path)

    def _walk(self, path: str, root: Inode, change: Callable[[Draft, Inode], None]) -> Steps[None]:
        """Apply ``change`` to everything below ``root``, a bounded batch a step."""
        below = _below(self._view, path, root)
        while chunk := list(islice(below, _WALK_STEP)):
            draft = Draft(self._view, self._clock.now_ms())
            _change(draft, chunk, change)
            self._commit(draft)
            yield
