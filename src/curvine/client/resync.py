# SPDX-License-Identifier: Apache-2.0
"""Bringing the names of an under storage into the namespace of an fs_mode mount.

The under storage is walked breadth-first. Directories are made, files become entries without
blocks that carry length and mtime of their source (state UFS). A file that was changed in the
cluster and not exported yet is left alone, one whose source is newer is replaced, and one whose
source is gone is removed. Source: data-plane specification 5.4. Beyond it: length counts besides
mtime, symbolic links are made, what has gone is removed, a dry run changes nothing at all.

Removing is done last, and only once nothing waits to be exported below the mount: what a rename has
moved here and not there yet looks like a file that has gone. Only our masters tell that; on others
nothing is removed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from curvine.client.unified import UnifiedFileSystem
from curvine.errors import Common, DirectoryNotEmpty, InvalidArgument, NotFound
from curvine.model.inode import (
    CreateOpts,
    FileStatus,
    FileType,
    MkdirOpts,
    OpenFlag,
    StoragePolicy,
)
from curvine.model.mount import MountInfo, WriteType, ufs_path_of
from curvine.model.path import join
from curvine.ufs.base import Ufs, UfsStatus
from curvine.ufs.partial import is_partial

_TOGETHER = 64  # entries that are made at a time
_PATIENCE = 300  # looks at the exports that wait, a tenth of a second apart
_DIR_MODE, _FILE_MODE = 0o755, 0o644  # where the under storage knows no modes


class Resynced(msgspec.Struct):
    """How many entries were (or, in a dry run, would be) treated in which way."""

    directories: int = 0  # made
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0  # gone from the under storage
    pending: int = 0  # changed in the cluster, not exported yet: left alone
    skipped: int = 0  # something else is in the way, or a kind that cannot be represented


class Resync:
    """One walk over one mount. ``tell`` hears (what, path) of every entry that is changed."""

    def __init__(
        self,
        fs: UnifiedFileSystem,
        mount: MountInfo,
        *,
        dry_run: bool = False,
        tell: Callable[[str, str], None] = lambda what, path: None,
    ) -> None:
        if mount.write_type is not WriteType.FS_MODE:
            raise InvalidArgument(
                f"{mount.cv_path} is a cache_mode mount: it shows its under storage as it is, "
                "there is nothing to resync"
            )
        self._fs = fs
        self._ns = fs.cluster.ns
        self._mount = mount
        self._dry_run = dry_run
        self._tell = tell
        self.done = Resynced()
        self._gone: list[FileStatus] = []  # known here and not there, parents first

    async def run(self) -> Resynced:
        """Walk the whole mount."""
        ufs = self._fs.storage(self._mount)
        pending = deque([(self._mount.cv_path, True)])
        while pending:
            directory, exists = pending.popleft()
            known = {}
            if exists:
                known = {entry.name: entry for entry in await self._fs.list(directory)}
            source = [
                entry
                for entry in await ufs.list(ufs_path_of(self._mount, directory))
                if not is_partial(entry.name)
            ]
            there = {entry.name for entry in source}
            for entry in known.values():
                if entry.name not in there:
                    await self._note_gone(entry)
            for start in range(0, len(source), _TOGETHER):
                await asyncio.gather(
                    *(
                        self._entry(join(directory, entry.name), entry, known.get(entry.name))
                        for entry in source[start : start + _TOGETHER]
                    )
                )
            pending += self._below(directory, source, known)
        if self._gone:
            await self._remove(ufs)
        return self.done

    async def _note_gone(self, entry: FileStatus) -> None:
        """An entry that the under storage has not, and for a directory all that is below it."""
        pending = [entry]
        while pending:
            found = pending.pop()
            self._gone.append(found)
            if found.is_dir:
                pending += await self._fs.list(found.path)

    async def _remove(self, ufs: Ufs) -> None:
        """Remove what has gone, deepest first; a directory with something left in it stays."""
        settled = self._dry_run or await self._settled()
        for entry in reversed(self._gone):
            if entry.file_type not in (FileType.FILE, FileType.DIR):
                continue  # links and special files need not be there at all
            changed = not entry.is_dir and entry.storage_policy.ufs_mtime == 0
            if changed or not settled:
                self.done.pending += 1
                self._tell("keep (changed here, not exported yet)", entry.path)
                continue
            if not self._dry_run and not await self._remove_one(ufs, entry):
                continue
            self.done.removed += 1
            self._tell("remove", entry.path)

    async def _remove_one(self, ufs: Ufs, entry: FileStatus) -> bool:
        """Look once more at both sides, then remove the entry."""
        try:
            now = await self._ns.status(entry.path)
            if (now.id, now.storage_policy.state) != (entry.id, entry.storage_policy.state):
                return False
            await ufs.stat(ufs_path_of(self._mount, entry.path))
        except NotFound:
            pass
        else:
            return False
        try:
            await self._ns.delete(entry.path, False)
        except (DirectoryNotEmpty, NotFound):
            return False
        return True

    async def _settled(self) -> bool:
        """Whether nothing waits to be exported; some time is given for that."""
        for _ in range(_PATIENCE):
            try:
                waiting = await self._fs.cluster.admin.pending_exports(self._mount.cv_path, 1)
            except Common:
                return False  # a master that is not ours cannot tell
            if not waiting.exports:
                return True
            await asyncio.sleep(0.1)
        return False

    def _below(
        self, directory: str, source: Sequence[UfsStatus], known: dict[str, FileStatus]
    ) -> list[tuple[str, bool]]:
        """Directories to walk next, and whether they can be listed in the namespace."""
        return [
            (join(directory, entry.name), entry.name in known or not self._dry_run)
            for entry in source
            if entry.is_dir and (entry.name not in known or known[entry.name].is_dir)
        ]

    async def _entry(self, path: str, source: UfsStatus, known: FileStatus | None) -> None:
        if source.is_dir:
            await self._directory(path, source, known)
        elif source.file_type is FileType.LINK:
            await self._link(path, source, known)
        elif source.file_type is FileType.FILE:
            await self._file(path, source, known)
        else:
            self.done.skipped += 1
            self._tell("skip (special file)", path)

    async def _directory(self, path: str, source: UfsStatus, known: FileStatus | None) -> None:
        if known is not None:
            if not known.is_dir:
                self.done.skipped += 1
                self._tell("skip (a file is in the way of a directory)", path)
            return
        self.done.directories += 1
        self._tell("mkdir", path)
        if not self._dry_run:
            opts = MkdirOpts(
                create_parent=True,
                mode=source.mode or _DIR_MODE,
                owner=source.owner,
                group=source.group,
            )
            await self._ns.mkdir(path, opts)

    async def _link(self, path: str, source: UfsStatus, known: FileStatus | None) -> None:
        if known is not None:
            self.done.unchanged += 1
            return
        self.done.added += 1
        self._tell("link", path)
        if not self._dry_run:
            await self._ns.symlink(
                source.target or "", path, owner=source.owner, group=source.group
            )

    async def _file(self, path: str, source: UfsStatus, known: FileStatus | None) -> None:
        if known is not None and known.file_type is not FileType.FILE:
            self.done.skipped += 1
            self._tell("skip (something else is in the way of a file)", path)
            return
        if known is not None and known.storage_policy.ufs_mtime == 0:
            self.done.pending += 1
            self._tell("keep (changed here, not exported yet)", path)
            return
        if known is not None and (known.storage_policy.ufs_mtime, known.len) == (
            source.mtime,
            source.len,
        ):
            self.done.unchanged += 1
            return
        if known is None:
            self.done.added += 1
            self._tell("add", path)
        else:
            self.done.replaced += 1
            self._tell("replace", path)
        if self._dry_run:
            return
        if known is not None:
            await self._ns.delete(path, False)
        flags = OpenFlag.WRONLY | OpenFlag.CREAT | OpenFlag.EXCL
        await self._ns.create_file(path, self._options(source), flags)

    def _options(self, source: UfsStatus) -> CreateOpts:
        mount, cluster = self._mount, self._fs.cluster
        opts = cluster.create_opts(
            mode=source.mode or _FILE_MODE,
            owner=source.owner,
            group=source.group,
            create_parent=True,
            block_size=mount.block_size or cluster.block_size_for(source.len),
        )
        wish = opts.storage_policy.storage_type
        return msgspec.structs.replace(
            opts,
            replicas=mount.replicas or opts.replicas,
            sync_ufs_meta=True,
            ufs_len=source.len,
            storage_policy=StoragePolicy(
                storage_type=wish if mount.storage_type is None else mount.storage_type,
                ttl_ms=mount.ttl_ms,
                ttl_action=mount.ttl_action,
                ufs_mtime=source.mtime,
            ),
        )
