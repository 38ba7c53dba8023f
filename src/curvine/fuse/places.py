# SPDX-License-Identifier: Apache-2.0
"""What a mount shows: one path of one cluster, or several places, each with its own client.

Clients live as long as the given exit stack. Places of the same masters and options share one.
"""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec

from curvine.client.cluster import ClusterClient
from curvine.client.streams import local_socket_name
from curvine.client.unified import UnifiedFileSystem
from curvine.clock import SystemClock
from curvine.config.load import load
from curvine.config.schema import ClientConf, ClusterConf, FuseMount
from curvine.errors import CurvineError
from curvine.fuse.composite import CompositeFileSystem, Place
from curvine.fuse.contract import FileSystem
from curvine.fuse.emptyfs import EmptyFileSystem
from curvine.model.path import ROOT, is_under

_PREFIX = "client."


class Shown(NamedTuple):
    """``root`` is the path of ``files`` that the mount shows; ``parts`` are clusters with paths."""

    files: FileSystem
    root: str
    parts: tuple[tuple[UnifiedFileSystem, str], ...]

    async def may_be_local(self) -> bool:
        """Whether any byte shown can lie on this node: in a worker here or in a local directory.
        When a cluster does not answer, yes."""
        try:
            return any([await _may_be_local(files, path) for files, path in self.parts])
        except CurvineError:
            return True


async def _may_be_local(files: UnifiedFileSystem, path: str) -> bool:
    for mount in await files.mount_table():
        shown = is_under(mount.cv_path, path) or is_under(path, mount.cv_path)
        if shown and mount.ufs_path.startswith("file:"):
            return True
    info = await files.filesystem_info()
    cluster_id = files.cluster.conf.cluster_id
    return any(_answers(local_socket_name(cluster_id, w.address)) for w in info.live_workers)


def _answers(name: str) -> bool:
    """Whether somebody on this node listens on the abstract Unix socket ``name``."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(f"\0{name}")
        except OSError:
            return False
    return True


def conf_of_place(conf: ClusterConf, mount: FuseMount) -> ClusterConf:
    """The configuration that holds for one place. ConfigError for options nobody can read."""
    overrides = {
        _PREFIX + name.removeprefix(_PREFIX): value for name, value in mount.options.items()
    }
    typed = load(None, env={}, overrides=overrides).conf.client
    plain = load(None, env={}).conf.client
    changes = {
        name: getattr(typed, name)
        for name in ClientConf.__struct_fields__
        if getattr(typed, name) != getattr(plain, name)
    }
    if mount.master_addrs:
        changes["master_addrs"] = mount.master_addrs
    replace = msgspec.structs.replace
    conf = replace(conf, client=replace(conf.client, **changes))
    if mount.cluster_id:
        conf = replace(conf, cluster_id=mount.cluster_id)
    if mount.token_file:
        conf = replace(conf, auth=replace(conf.auth, token_file=mount.token_file))
    return conf


class Places:
    """Makes places of a configuration. Clients are shared, and kept until the mount ends: a place
    that is not shown any more may have open files."""

    def __init__(self, stack: AsyncExitStack, client_name: str) -> None:
        self._stack = stack
        self._client_name = client_name
        self._known: list[tuple[tuple[object, ...], UnifiedFileSystem]] = []

    async def of(self, conf: ClusterConf) -> list[Place]:
        """Every place that ``conf`` names. ConfigError for options that nobody can read."""
        fuse = conf.fuse
        if not fuse.mounts:
            if not fuse.fs_path:
                return []
            files = await self.files(conf)
            return [Place(ROOT, fuse.fs_path, files, fuse.readonly, cluster=files)]
        places = []
        for mount in fuse.mounts:
            files = await self.files(conf_of_place(conf, mount))
            places.append(Place(mount.path, mount.fs_path, files, mount.read_only, cluster=files))
        return places

    async def files(self, conf: ClusterConf) -> UnifiedFileSystem:
        """The file system of the cluster that ``conf`` names, opened at most once."""
        key = (conf.cluster_id, conf.client_master_addrs(), conf.client, conf.auth)
        for known, files in self._known:
            if known == key:
                return files
        files = await _open_cluster(self._stack, conf, self._client_name)
        self._known.append((key, files))
        return files


async def open_files(places: Places, conf: ClusterConf, *, changeable: bool) -> Shown:
    """What ``conf`` says that is to be shown. ``changeable``: places may come and go later."""
    fuse = conf.fuse
    if not fuse.mounts and not changeable:
        if not fuse.fs_path:
            return Shown(EmptyFileSystem(), ROOT, ())
        files = await places.files(conf)
        return Shown(files, fuse.fs_path, ((files, fuse.fs_path),))
    found = await places.of(conf)
    parts = [(await places.files(conf_of_place(conf, m)), m.fs_path) for m in fuse.mounts]
    if found and not parts:
        parts = [(await places.files(conf), fuse.fs_path)]
    return Shown(CompositeFileSystem(found, SystemClock().now_ms()), ROOT, tuple(parts))


async def _open_cluster(
    stack: AsyncExitStack, conf: ClusterConf, client_name: str
) -> UnifiedFileSystem:
    cluster = await stack.enter_async_context(
        ClusterClient(conf, component="fuse", client_name=client_name)
    )
    files = UnifiedFileSystem(cluster)
    stack.push_async_callback(files.close)
    return files
