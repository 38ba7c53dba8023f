# SPDX-License-Identifier: Apache-2.0
"""What the master has promised to do: changes to export, and rows of its load and export jobs.

Both are rows of the store, written with the mutation that made them or in one batch, so that a
master that is killed goes on where it was. A row goes when the work is done, and only then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from curvine.errors import Common, NotFound
from curvine.metadata.draft import Draft
from curvine.metadata.keys import Table
from curvine.metadata.records import ExportKind, ExportRow, Inode, decode_export
from curvine.metadata.rules import exports
from curvine.metadata.summaries import Summaries
from curvine.metadata.values import ChangeKind
from curvine.model.inode import FileStatus, FileType, StorageState

Pending = tuple[bytes, ExportRow]


class Ledger(Summaries):
    """Pending exports and job rows."""

    # -- exports -------------------------------------------------------------------------------

    def exports_after(self, key: bytes, limit: int) -> list[Pending]:
        """The next ``limit`` changes behind ``key`` (b"": from the first), oldest first."""
        rows = self._store.scan(Table.EXPORT, key + b"\0" if key else b"", None)
        return [(found, decode_export(value)) for found, value in islice(rows, limit)]

    def exports_done(self, keys: Iterable[bytes]) -> None:
        """Forget changes that the under storage has."""
        draft = self._draft()
        for key in keys:
            draft.row(Table.EXPORT, key, None)
        self._commit(draft)

    def export_files(self, paths: Sequence[str]) -> list[Pending]:
        """Have files exported as if they had just been closed; those that are gone are left out."""
        draft = self._draft()
        for path in paths:
            inode = draft.view.resolve(path)
            if inode is not None:
                exports.name_added(draft, path, inode)
        self._commit(draft)
        return draft.exports

    def exports_estimate(self) -> int:
        """About how many changes wait."""
        return self._store.estimated_rows(Table.EXPORT)

    # -- states of files -----------------------------------------------------------------------

    def file_of(self, inode_id: int) -> tuple[str, Inode] | None:
        """Path and record of an inode; None when it is gone."""
        inode = self._view.inode(inode_id)
        path = self.path_of(inode_id) if inode is not None else None
        return (path, inode) if inode is not None and path is not None else None

    def check_unchanged(self, path: str, changed: int) -> None:
        """Common if a file was opened for writing or changed since its ``ctime`` (ms) was
        ``changed``: a copy of it that was made since is not its content any more."""
        inode = Draft(self._view, 0).resolve(path)
        if inode.writers:
            raise Common(f"{path} is open for writing, its copy may be out of date")
        if (inode.ctime or inode.mtime) != changed:
            raise Common(f"{path} has changed while it was copied")
        if inode.nlink > 1:
            raise Common(f"{path} has several names, its data stay in the cluster")

    def moved_in_ufs(self, inode_id: int, before: int, mtime: int) -> None:
        """The object of a file was copied by its store and has another mtime now."""
        draft = self._draft()
        inode = draft.inode(inode_id)
        if inode is None or inode.kind is not FileType.FILE or inode.ufs_mtime != before:
            return
        if inode.state is StorageState.CV or before == mtime:
            return
        draft.put(replace(inode, ufs_mtime=mtime))
        draft.note(ChangeKind.ATTR, self.path_of(inode_id) or "", inode)
        self._commit(draft)

    def tree(self, path: str) -> Iterator[FileStatus]:
        """``path`` and everything below it, parents first. Names are read as it goes on."""
        top = self.status(path)
        yield top
        pending = [path] if top.is_dir else []
        while pending:
            directory = pending.pop()
            try:
                children = self.list_options(directory)
            except NotFound:
                continue  # removed while we walked
            for child in children:
                yield child
                if child.is_dir:
                    pending.append(child.path)

    # -- jobs ----------------------------------------------------------------------------------

    def job_rows(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """(name, value) of the rows whose names begin with ``prefix``, sorted."""
        first = prefix.encode()
        for key, value in self._store.scan(Table.JOB, first, first + b"\xff"):
            yield key.decode(), value

    def put_job_rows(self, rows: Iterable[tuple[str, bytes | None]]) -> None:
        """Store rows, remove those whose value is None; all or none."""
        draft = self._draft()
        for name, value in rows:
            draft.row(Table.JOB, name.encode(), value)
        self._commit(draft)

    def drop_job_rows(self, prefix: str) -> None:
        """Remove every row whose name begins with ``prefix``."""
        first = prefix.encode()
        self._store.drop_range(Table.JOB, first, first + b"\xff")


__all__ = ["ExportKind", "ExportRow", "Ledger", "Pending"]
