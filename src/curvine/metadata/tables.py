# SPDX-License-Identifier: Apache-2.0
"""The two small tables beside the namespace: mounts (5.15) and locks (5.13)."""

from __future__ import annotations

import secrets

from curvine.errors import Common
from curvine.metadata.core import Op
from curvine.metadata.draft import Draft
from curvine.metadata.keys import Table, id_key, mount_key
from curvine.metadata.records import (
    RECORD_VERSION,
    LockItem,
    LockRow,
    MountRow,
    decode_locks,
    encode,
)
from curvine.metadata.rules import mounts
from curvine.metadata.rules.tree import TREE_TOP_MODE
from curvine.metadata.upkeep import Upkeep
from curvine.metadata.values import ChangeKind
from curvine.model.inode import MkdirOpts
from curvine.model.lock import FileLock, LockFlavor, Locks, LockType, alive, conflict, with_lock
from curvine.model.mount import MountInfo, MountOptions


class Tables(Upkeep):
    """Mounts and locks."""

    # -- mounts --------------------------------------------------------------------------------

    def mount_add(
        self, cv_path: str, ufs_path: str, options: MountOptions, *, req_id: int = 0
    ) -> MountInfo:
        """Mount ``ufs_path`` at ``cv_path``, which is made as a directory if missing."""
        if self._replayed(Op.MOUNT, req_id):
            known = self._mounted_at(cv_path)
            if known is not None and known.ufs_path == ufs_path:
                return known
        table = self._view.mounts
        mount = mounts.new_mount(cv_path, ufs_path, options, self._new_mount_id())
        root = self._view.resolve(cv_path)
        if root is None:
            self.mkdir(cv_path, MkdirOpts(create_parent=True, mode=TREE_TOP_MODE))
        elif not root.is_dir:
            raise Common(f"{cv_path} is not a directory, nothing can be mounted there")
        mounts.check_free(table, cv_path, ufs_path)
        return self._store_mount(Op.MOUNT, mount, req_id)

    def mount_update(self, cv_path: str, options: MountOptions, *, req_id: int = 0) -> MountInfo:
        """Change the mount that contains ``cv_path``; paths, id and write type stay."""
        mount = mounts.find_mount(self._view.mounts, cv_path)
        if mount is None:
            raise Common(f"{cv_path} is not mounted")
        if self._replayed(Op.MOUNT_UPDATE, req_id):
            return mount
        return self._store_mount(Op.MOUNT_UPDATE, mounts.updated_mount(mount, options), req_id)

    def mount_remove(self, cv_path: str, *, req_id: int = 0) -> None:
        """Unmount; cached data stay where they are."""
        if self._replayed(Op.UNMOUNT, req_id):
            return
        mount = self._mounted_at(cv_path)
        if mount is None:
            raise Common(f"{cv_path} is not mounted")
        draft = self._draft()
        draft.row(Table.MOUNT, mount_key(mount.mount_id), None)
        self._finish_mount(Op.UNMOUNT, draft, mount, req_id)

    def _mounted_at(self, cv_path: str) -> MountInfo | None:
        return next((mount for mount in self._view.mounts if mount.cv_path == cv_path), None)

    def _new_mount_id(self) -> int:
        taken = {mount.mount_id for mount in self._view.mounts}
        while (mount_id := secrets.randbits(32)) in taken or mount_id == 0:
            pass
        return mount_id

    def _store_mount(self, op: Op, mount: MountInfo, req_id: int) -> MountInfo:
        draft = self._draft()
        draft.row(Table.MOUNT, mount_key(mount.mount_id), encode(MountRow(RECORD_VERSION, mount)))
        self._finish_mount(op, draft, mount, req_id)
        return mount

    def _finish_mount(self, op: Op, draft: Draft, mount: MountInfo, req_id: int) -> None:
        draft.mounts_changed = True
        root = self._view.resolve(mount.cv_path)
        if root is not None:
            draft.subject = root.id
            draft.note(ChangeKind.ENTRY, mount.cv_path, root)
        self._commit(draft, op, req_id)

    # -- locks ---------------------------------------------------------------------------------

    def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        """The lock that stands in the way of ``lock``, None if nothing does."""
        inode = Draft(self._view, 0).resolve(path)
        return conflict(self._locks(inode.id), lock)

    def set_lock(self, path: str, lock: FileLock, *, req_id: int = 0) -> FileLock | None:
        """Take, change or release a lock; a conflict is returned, not raised."""
        if self._replayed(Op.SET_LOCK, req_id):
            return None
        draft = self._draft()
        inode = draft.resolve(path)
        held = self._locks(inode.id)
        in_the_way = conflict(held, lock)
        if in_the_way is not None:
            return in_the_way
        kept = with_lock(held, lock, draft.now)
        row = LockRow(RECORD_VERSION, tuple(_item(one) for one in kept))
        draft.row(Table.LOCK, id_key(inode.id), encode(row) if kept else None)
        draft.subject = inode.id
        self._commit(draft, Op.SET_LOCK, req_id)
        return None

    def _locks(self, inode_id: int) -> Locks:
        raw = self._store.get(Table.LOCK, id_key(inode_id))
        if raw is None:
            return ()
        held = tuple(_lock(item) for item in decode_locks(raw).locks)
        return alive(held, self._clock.now_ms(), self.limits.lock_expire_ms)


def _item(lock: FileLock) -> LockItem:
    return LockItem(
        lock.client_id,
        lock.owner_id,
        lock.pid,
        lock.acquire_time,
        int(lock.lock_type),
        int(lock.flavor),
        lock.start,
        lock.end,
    )


def _lock(item: LockItem) -> FileLock:
    return FileLock(
        item.client_id,
        item.owner_id,
        item.pid,
        item.acquire_time,
        LockType(item.lock_type),
        LockFlavor(item.flavor),
        item.start,
        item.end,
    )
