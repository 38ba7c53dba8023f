# SPDX-License-Identifier: Apache-2.0
"""What a mount shows: one path of one cluster, or several places, each with its own client.

Clients live as long as the given exit stack. Places of the same masters and options share one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import NamedTuple

import msgspec

from curvine.client.cluster import ClusterClient
from curvine.client.streams import local_socket_name
from curvine.client.unified import UnifiedFileSystem
from curvine.clock import SystemClock
from curvine.config.load import load
from curvine.config.schema import ClientConf, ClusterConf, FuseMount
from curvine.errors import CurvineError
from curvine.fuse.belief import Source
from curvine.fuse.composite import CompositeFileSystem, Place
from curvine.fuse.contract import FileSystem, Watched
from curvine.fuse.emptyfs import EmptyFileSystem
from curvine.fuse.placenumbers import PlaceName, PlaceNumbers
from curvine.model.path import ROOT, is_under

LOCAL_SECONDS = 3.0  # to find out whether bytes are on this node
_PREFIX = "client."


class Shown(NamedTuple):
    """``root`` is the path of ``files`` that the mount shows; ``parts`` are clusters with paths."""

    files: FileSystem
    root: str
    parts: tuple[tuple[UnifiedFileSystem, str], ...]

    async def may_be_local(self) -> bool:
        """Whether any byte shown can lie on this node: in a worker here or in a local directory.
        When a cluster does not answer soon, yes: it must not hold up the others."""
        try:
            async with asyncio.timeout(LOCAL_SECONDS):
                return any([await _may_be_local(files, path) for files, path in self.parts])
        except (CurvineError, TimeoutError):
            return True


def sources_of(shown: Shown) -> list[Source]:
    """What has to be watched to know of every change of what is shown."""
    files, root = shown.files, shown.root
    if isinstance(files, CompositeFileSystem):
        return [
            Source(place.path, place.fs_path, place.files, files.tag(place))
            for place in files.shown
            if isinstance(place.files, Watched)
        ]
    return [Source(root, root, files)] if isinstance(files, Watched) else []


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
    changed = msgspec.structs.replace
    conf = changed(conf, client=changed(conf.client, **changes))
    if mount.cluster_id:
        conf = changed(conf, cluster_id=mount.cluster_id)
    if mount.token_file:
        conf = changed(conf, auth=changed(conf.auth, token_file=mount.token_file))
    return conf


def _place(path: str, fs_path: str, files: UnifiedFileSystem, read_only: bool) -> Place:
    conf = files.cluster.conf
    masters = (f"{host}:{port}" for host, port in conf.client_master_addrs())
    name = f"{conf.cluster_id} {','.join(masters)}"
    return Place(path, fs_path, files, read_only, cluster=files, cluster_name=name)


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
            return [_place(ROOT, fuse.fs_path, files, fuse.readonly)]
        places = []
        for mount in fuse.mounts:
            files = await self.files(conf_of_place(conf, mount))
            places.append(_place(mount.path, mount.fs_path, files, mount.read_only))
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


def following(current: Sequence[Place], wanted: Sequence[Place]) -> list[Place]:
    """What to show after ``current``. A Dataset with one mount shows it as the root, one with
    several as directories: what somebody uses under the old path stays there while it is wanted."""
    paths = {place.path for place in wanted}
    content = {(place.fs_path, place.cluster_name, id(place.files)): place for place in wanted}
    kept = []
    for place in current:
        same = content.get((place.fs_path, place.cluster_name, id(place.files)))
        if same is not None and place.path not in paths and ROOT in (place.path, same.path):
            kept.append(replace(place, read_only=same.read_only))
    return [*wanted, *kept]


def _shown_before(names: Sequence[PlaceName], wanted: Sequence[Place]) -> list[Place]:
    """What a server that was killed showed, as far as it is wanted at some path."""
    content = {(place.fs_path, place.cluster_name): place for place in wanted}
    found = ((name, content.get((name.fs_path, name.cluster))) for name in names)
    return [replace(place, path=name.path) for name, place in found if place is not None]


async def open_files(
    places: Places, conf: ClusterConf, *, changeable: bool, numbers: PlaceNumbers | None = None
) -> Shown:
    """What ``conf`` says that is to be shown. ``changeable``: places may come and go later, and
    ``numbers`` remembers them."""
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
    if numbers is not None:
        found = following(_shown_before(numbers.shown_last, found), found)
    return Shown(CompositeFileSystem(found, SystemClock().now_ms(), numbers), ROOT, tuple(parts))


async def _open_cluster(
    stack: AsyncExitStack, conf: ClusterConf, client_name: str
) -> UnifiedFileSystem:
    cluster = await stack.enter_async_context(
        ClusterClient(conf, component="fuse", client_name=client_name)
    )
    files = UnifiedFileSystem(cluster)
    stack.push_async_callback(files.close)
    return files
