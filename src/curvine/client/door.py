# SPDX-License-Identifier: Apache-2.0
"""What a door offers besides files: the cluster's totals, its mounts, its jobs, durability.

The base of client.unified, kept apart because nothing here depends on what a path is mounted on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from curvine.client.block_sync import sync_blocks
from curvine.client.cluster import ClusterClient
from curvine.client.mounts import MountTable
from curvine.client.watch import ChangeWatch
from curvine.errors import InvalidArgument, NotADirectory, TimedOut
from curvine.model.job import JobStatus, LoadCommand
from curvine.model.mount import MountInfo, MountOptions, WriteType, mount_of_path, ufs_path_of
from curvine.model.path import ROOT, is_under, normalize
from curvine.model.worker import FilesystemInfo
from curvine.ufs.base import Ufs
from curvine.ufs.registry import check_names, open_ufs
from curvine.wire.codes import CAP_SUMMARY, CAP_SYNC

_SUM_PATIENCE_MS = 500


class ClusterDoor:
    """See the module."""

    def __init__(self, cluster: ClusterClient, mounts: MountTable) -> None:
        self.cluster = cluster
        self._mounts = mounts
        self._unified = cluster.conf.client.enable_unified_fs

    async def filesystem_info(self) -> FilesystemInfo:
        """Totals of the cluster and its workers."""
        return await self.cluster.handshake()

    @property
    def watch(self) -> ChangeWatch:
        """Tells what others change, as far as the master knows it."""
        return self.cluster.watch

    @property
    def has_untold(self) -> bool:
        """Whether there are paths of which the watch tells nothing, as far as is known."""
        return self._unified and self._mounts.has_cache_mode

    def told(self, path: str) -> bool:
        """Whether the watch tells all changes of ``path``: not below a cache_mode mount."""
        mount = self._mounts.cached(path) if self._unified else None
        return mount is None or mount.write_type != WriteType.CACHE_MODE

    async def used_bytes(self, path: str) -> int | None:
        """Bytes of all files below ``path`` as the master sums them up; None where it does not, or
        where parts of the tree are listed from an under storage."""
        if CAP_SUMMARY not in self.cluster.capabilities:
            return None
        for mount in await self._mounts.all() if self._unified else ():
            if mount.write_type == WriteType.CACHE_MODE and (
                is_under(path, mount.cv_path) or is_under(mount.cv_path, path)
            ):
                return None
        sums = await self.cluster.ns.content_summary(path, wait_ms=_SUM_PATIENCE_MS)
        return sums.bytes if sums.is_complete else None

    async def mount_table(self, fresh: bool = True) -> tuple[MountInfo, ...]:
        """Every mount."""
        return await self._mounts.all(fresh)

    async def mount(
        self, cv_path: str, uri: str, options: MountOptions, *, req_id: int | None = None
    ) -> None:
        """Mount the under storage at ``uri``, after a look that it is there."""
        cv_path = normalize(cv_path)
        if cv_path == ROOT:
            raise InvalidArgument("nothing is mounted on /; choose a directory")
        if options.add_properties or not options.update:
            uri, properties = await self._what_results(cv_path, uri, options)
            ufs = open_ufs(uri, properties, probing=True)
            try:
                source = await ufs.stat(uri)
            finally:
                await ufs.close()
            if not source.is_dir:
                raise NotADirectory(f"{uri} is a file; mount the directory that holds it")
        await self.cluster.admin.mount(cv_path, uri, options, req_id=req_id)
        await self._mounts.all(fresh=True)

    async def _what_results(
        self, cv_path: str, uri: str, options: MountOptions
    ) -> tuple[str, dict[str, str]]:
        """URI and properties of the mount as it will be."""
        given = check_names(uri, options.add_properties)
        if not options.update:
            return uri, given
        known = mount_of_path(await self._mounts.all(fresh=True), cv_path)
        if known is None:
            raise InvalidArgument(f"{cv_path} is not mounted; leave out --update to mount it")
        return known.ufs_path, {**self._mounts.secrets.filled(known), **given}

    def storage(self, mount: MountInfo) -> Ufs:
        """The under storage behind a mount; ours to close."""
        return self._mounts.storage(mount)

    async def umount(self, cv_path: str, *, req_id: int | None = None) -> None:
        """Take a mount out of the table; cached data stay until they are deleted or expire."""
        await self.cluster.admin.unmount(normalize(cv_path), req_id=req_id)
        await self._mounts.all(fresh=True)

    async def submit_load(
        self,
        source: str,
        target: str | None = None,
        overwrite: bool = True,
        *,
        req_id: int | None = None,
    ) -> JobStatus:
        """Load a file or tree of an under storage (Curvine path or URI) into the cache.

        A path below a cache_mode mount is sent as the URI that it stands for: masters know only
        the paths there that are cached already.
        """
        if "://" not in source and target is None:
            mount = await self._mounts.find(source)
            if mount is not None and mount.write_type is WriteType.CACHE_MODE:
                source = ufs_path_of(mount, source)
        command = LoadCommand(source_path=source, target_path=target, overwrite=overwrite)
        return await self.cluster.admin.submit_load(command, req_id=req_id)

    async def submit_export(
        self, source: str, overwrite: bool = True, *, req_id: int | None = None
    ) -> JobStatus:
        """Copy a file or tree of the namespace to the under storage that it is mounted on."""
        command = LoadCommand(source_path=source, overwrite=overwrite)
        return await self.cluster.admin.submit_export(command, req_id=req_id)

    async def job_status(self, job_id: str, *, verbose: bool = False) -> JobStatus:
        """State and progress of a job; ``verbose``: with the files that have failed so far."""
        return await self.cluster.admin.job_status(job_id, verbose=verbose)

    async def wait_for_job(
        self, job_id: str, progress: Callable[[JobStatus], None] = lambda _: None
    ) -> JobStatus:
        """Wait until a job has ended; ``progress`` is told each state that is seen on the way.

        TimedOut after ``max_sync_wait_timeout_ms`` without any progress.
        """
        conf, clock = self.cluster.conf.client, self.cluster.clock
        least, most = conf.sync_check_interval_min_ms / 1000, conf.sync_check_interval_max_ms / 1000
        seen: JobStatus | None = None
        began = moved = clock.monotonic()
        while True:
            status = await self.job_status(job_id)
            progress(status)
            if status.state.ended:
                return status
            if status != seen:
                seen, moved = status, clock.monotonic()
            if clock.monotonic() - moved > conf.max_sync_wait_timeout_ms / 1000:
                raise TimedOut(f"job {job_id} makes no progress: {status.progress.message}")
            # The end is noticed late by a twentieth of the whole time.
            await asyncio.sleep(min(max(least, (clock.monotonic() - began) / 20), most))

    async def cancel_job(self, job_id: str, *, req_id: int | None = None) -> None:
        """Stop a job."""
        await self.cluster.admin.cancel_job(job_id, req_id=req_id)

    async def sync_file(self, path: str) -> None:
        """The bytes of a file that nobody writes here are on stable storage, whoever wrote them,
        and everything acknowledged so far. Of a file of an under storage only the latter."""
        mount = await self._mounts.find(path)
        if mount is None or mount.write_type == WriteType.FS_MODE:
            file = await self.cluster.ns.block_locations(path, fresh=True)
            stored = [located for located in file.blocks if located.block.len]
            await sync_blocks(self.cluster.streams, stored, file.status.block_size)
        await self.sync_metadata()

    async def sync_metadata(self) -> None:
        """Everything acknowledged so far is on stable storage.

        A master that does not offer it (a real Curvine has no such call) counts as synced: what it
        acknowledged went through its own journal, and more than that nobody can ask of it.
        """
        if not self.cluster.introduced:
            await self.cluster.handshake()
        if CAP_SYNC in self.cluster.capabilities:
            await self.cluster.admin.sync_metadata()
