# SPDX-License-Identifier: Apache-2.0
"""The server process of a mount: it is started by the supervisor and answers the kernel.

Order: reach the cluster, look at (or make) the mount's root, only then let the supervisor mount. A
restarted server takes over what the node table says is open. It ends on SIGTERM, when the mount is
gone (ENODEV), and when the supervisor is: requests in flight are answered, every file is completed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import msgspec
import uvloop

from curvine.client.stats import show_clients
from curvine.clock import SystemClock
from curvine.config.schema import ClusterConf, FuseConf
from curvine.errors import CurvineError, NoMaster, NotADirectory, NotFound
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import notifications
from curvine.fuse.abi.negotiation import DEFAULT_FLAGS, Negotiated
from curvine.fuse.attrs import Owners
from curvine.fuse.belief import Beliefs
from curvine.fuse.coherence import Coherence
from curvine.fuse.composite import CompositeFileSystem
from curvine.fuse.contract import FileSystem
from curvine.fuse.control import ControlSocket
from curvine.fuse.handles import Handles
from curvine.fuse.launch import SupervisorLink
from curvine.fuse.livestats import LiveStats
from curvine.fuse.lockrecords import LockRecords
from curvine.fuse.locks import FileLocks
from curvine.fuse.memory import MemoryBudget, MemoryKeeper
from curvine.fuse.mount import MS_RDONLY
from curvine.fuse.noderecords import ROOT
from curvine.fuse.nodes import Nodes
from curvine.fuse.nodetable import NodeTable
from curvine.fuse.notify import Notifier
from curvine.fuse.orphans import Orphans, host_process, session_name
from curvine.fuse.pages import MountPages
from curvine.fuse.passthrough import Passthrough
from curvine.fuse.places import Places, Shown, open_files, sources_of
from curvine.fuse.reload import Follower, conf_now, is_changeable, place_numbers
from curvine.fuse.session import DeviceLoop, Session
from curvine.fuse.settings import Settings, settings_of
from curvine.fuse.surroundings import Errands, Surroundings
from curvine.fuse.volume import Volume
from curvine.httpd.server import HttpServer
from curvine.model.inode import FileStatus
from curvine.telemetry.logs import setup_from
from curvine.telemetry.metrics import Registry

_log = logging.getLogger(__name__)

DRAIN_SECONDS = 15.0  # the supervisor waits 20 s before it kills
_SAY_SECONDS = 5.0
DEFAULT_READ_AHEAD_KB = 1024  # a cold sequential read then asks for whole megabytes
_DESCRIPTORS = 16_384
_GC_THRESHOLD = 50_000  # allocations between collections: requests make no cycles


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: ``python -m curvine.fuse.server --launch-fd N``."""
    link = SupervisorLink.from_argv(sys.argv if argv is None else argv)
    conf = msgspec.convert(link.launch.conf, ClusterConf)
    setup_from(conf.fuse.log, "curvine-fuse.log", level="debug" if conf.fuse.debug else None)
    _raise_limits()
    try:
        uvloop.run(_serve(link, conf))
    except CurvineError as error:
        link.failed(str(error))
        return 1
    return 0


def _raise_limits() -> None:
    """As many descriptors as we may have: each file that is read locally holds one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, _DESCRIPTORS) if hard != resource.RLIM_INFINITY else _DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def client_name(table: NodeTable) -> str:
    """Every server of a mount is the same client: what one has open the next may complete."""
    return str(uuid.UUID(bytes=table.secret))


async def _serve(link: SupervisorLink, conf: ClusterConf) -> None:
    name = client_name(NodeTable(link.launch.table_fd))
    if link.launch.restarts and is_changeable(os.environ):
        conf = conf_now(os.environ, conf)
    budget = MemoryBudget(conf.fuse.memory_limit)
    if budget.is_frugal:
        replaced = msgspec.structs.replace
        client = replaced(conf.client, enable_smart_prefetch=False, max_cache_block_handles=2)
        conf = replaced(conf, client=client)
    async with AsyncExitStack() as stack:
        places = Places(stack, name)
        numbers = place_numbers(os.environ, resume=link.launch.restarts > 0)
        changeable = is_changeable(os.environ)
        shown = await open_files(places, conf, changeable=changeable, numbers=numbers)
        follower = None
        if isinstance(shown.files, CompositeFileSystem) and changeable:
            follower = Follower(shown.files, places, conf, os.environ)
        await _mount(link, conf, shown, budget, follower)


async def _mount(
    link: SupervisorLink,
    conf: ClusterConf,
    shown: Shown,
    budget: MemoryBudget,
    follower: Follower | None,
) -> None:
    launch = link.launch
    read_only = conf.fuse.readonly or bool(launch.mount.flags & MS_RDONLY)
    settings = settings_of(conf.fuse, root=shown.root, read_only=read_only)
    looking = _root_directory(shown.files, settings, patient=launch.restarts > 0)
    root = await (looking if launch.restarts else _with_patience(looking, conf))
    if not launch.restarts:
        settings = await _with_read_path(settings, shown)
    agreed = await asyncio.to_thread(link.ready, **_wanted(conf, settings))
    names, pages = (_notifier(launch.device_fds[0], agreed) for _ in range(2))
    volume = _volume(link, settings, shown.files, root, agreed, names)
    coherence = Coherence(volume.nodes, volume.beliefs, volume.handles, names, pages)
    session = Session(volume)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, follower.wake if follower else lambda: None)
    loop.add_reader(link.fileno(), ended.set)
    devices = DeviceLoop(
        session, volume, launch.device_fds, agreed.max_write, ended.set, budget.in_flight
    )
    if launch.restarts:
        count = await volume.handles.restore(volume.takeover_id)
        _log.info("taking over %d open files", count)
    else:
        volume.env.errands.run(volume.env.orphans.sweep())
    _spare_the_collector()
    devices.start()
    keeper = MemoryKeeper(
        budget, volume.nodes.table, (volume.handles, devices), devices, launch.device_fds[0],
        minor=agreed.minor,
    )  # fmt: skip
    work = [volume.env.locks.keep(), keeper.run()]
    if settings.push:
        work += _pushed(coherence, shown, follower, resume=launch.restarts > 0)
    if follower:
        work.append(follower.run())
    chores = [loop.create_task(coroutine) for coroutine in work]
    http = await _pages(conf.fuse, session, volume, shown, launch.restarts, budget)
    live = LiveStats(session, volume, budget, launch.mount.target, launch.restarts)
    control = ControlSocket(link.device, live.describe)
    await control.start()
    await ended.wait()
    for chore in chores:
        chore.cancel()
    control.close()
    loop.remove_reader(link.fileno())
    devices.stop()
    await session.drain(DRAIN_SECONDS)
    await volume.env.orphans.end()
    await http.close()
    devices.close()
    coherence.close()


def _pushed(
    coherence: Coherence, shown: Shown, follower: Follower | None, *, resume: bool
) -> list[Coroutine[None, None, None]]:
    """From now on the kernel is told what others change; gives the work that belongs to it."""

    def follow() -> None:
        coherence.follow(sources_of(shown))

    follow()
    if follower:
        follower.on_shown = follow
    return [coherence.succeed()] if resume else []


async def _with_read_path(settings: Settings, shown: Shown) -> Settings:
    """Decided once: the kernel remembers for the life of the mount that OPEN is not needed."""
    undecided = settings.read_path == "auto" and settings.read_only
    if undecided and shown.parts and not await shown.may_be_local():
        _log.info("no byte shown is on this node: files are opened without asking the cluster")
        return replace(settings, read_path="no_open")
    return settings


def _spare_the_collector() -> None:
    """What start-up made stays; requests make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


async def _pages(
    conf: FuseConf,
    session: Session,
    volume: Volume,
    shown: Shown,
    restarts: int,
    budget: MemoryBudget,
) -> HttpServer:
    clients = {id(files.cluster): files.cluster for files, _ in shown.parts}.values()

    def show(registry: Registry) -> None:
        show_clients(registry, [(client.streams.stats, client.pool.idle) for client in clients])

    pages = MountPages(session, volume, restarts, budget, show)
    http = HttpServer(pages.routes(metrics=conf.metrics_enabled), name="fuse")
    await http.start(conf.bind_host, conf.web_port)
    return http


async def _with_patience(
    looking: Coroutine[None, None, FileStatus], conf: ClusterConf
) -> FileStatus:
    """Wait for the first answer of the cluster, saying so meanwhile; NoMaster when none comes.

    A mount that exists already waits for ever instead (``_root_directory``)."""
    limit = max(1.0, conf.client.conn_retry_max_duration_ms / 1000)
    deadline = asyncio.get_running_loop().time() + limit
    masters = ", ".join(f"{host}:{port}" for host, port in conf.client_master_addrs())
    task = asyncio.ensure_future(looking)
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        done, _ = await asyncio.wait({task}, timeout=min(_SAY_SECONDS, left))
        if done:
            return task.result()
        _log.warning("still waiting for a master at %s", masters)
    task.cancel()
    raise NoMaster(
        f"no master answered within {limit:.0f} s; asked {masters}. "
        "Check master-endpoints, and that a master runs there and can be reached from here"
    )


async def _root_directory(files: FileSystem, settings: Settings, *, patient: bool) -> FileStatus:
    """The directory that is mounted, made if it is missing. ``patient``: the mount exists already,
    so a cluster that is away is waited for as long as it takes."""
    while True:
        try:
            try:
                status = await files.status(settings.root)
            except NotFound:
                if settings.read_only:
                    raise
                status = await files.mkdir(settings.root, create_parent=True)
        except CurvineError as error:
            if not patient or not error.retryable:
                raise
            _log.warning("the cluster does not answer, trying on: %s", error)
            await asyncio.sleep(1.0)
            continue
        if not status.is_dir:
            raise NotADirectory(f"{settings.root} is not a directory and cannot be mounted")
        return status


def _wanted(conf: ClusterConf, settings: Settings) -> dict[str, int]:
    flags = DEFAULT_FLAGS | c.HANDLE_KILLPRIV_V2
    if settings.read_path != "no_open":  # the kernel would not tell when a handle is closed
        flags |= c.POSIX_LOCKS | c.FLOCK_LOCKS
    if settings.read_path in ("splice", "copy", "no_open"):
        flags &= ~c.PASSTHROUGH
    read_ahead_kb = conf.fuse.max_readahead_kb or DEFAULT_READ_AHEAD_KB
    return {
        "read_ahead_kb": read_ahead_kb,
        "flags": flags,
        "max_background": conf.fuse.max_background,
        "congestion_threshold": conf.fuse.congestion_threshold,
        "max_readahead": read_ahead_kb << 10,
        "max_stack_depth": 2 if _root_is_stacked() else 1,
    }


def _root_is_stacked() -> bool:
    """Whether files lie on an overlay here, as in containers (decision 18)."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
        return any(" - overlay " in line and line.split()[4] == "/" for line in lines)


def _volume(
    link: SupervisorLink,
    settings: Settings,
    files: FileSystem,
    root: FileStatus,
    agreed: Negotiated,
    notifier: Notifier,
) -> Volume:
    launch = link.launch
    device = launch.device_fds[0]
    table = NodeTable(launch.table_fd)
    nodes = Nodes(table, settings.root, session_name(host_process()))
    table.rebind(ROOT, 0, nodes.ino(root, settings.root))
    clock = SystemClock()

    async def attributes_changed(nodeid: int) -> None:
        # In a thread: notifications are never written by the loop (decision 12).
        await asyncio.to_thread(_notify, device, notifications.inval_inode(nodeid, -1, 0))

    client_id = client_name(table)
    env = Surroundings(
        files=files,
        nodes=nodes,
        orphans=Orphans(files, nodes),
        locks=FileLocks(files, nodes, LockRecords(launch.table_fd, client_id), client_id),
        settings=settings,
        clock=clock,
        passthrough=Passthrough(device if agreed.has(c.PASSTHROUGH) else None),
        errands=Errands(),
        beliefs=Beliefs(settings, nodes),
        attributes_changed=attributes_changed,
        attributes_stale=notifier.attributes,
    )
    owners = Owners(settings.uid, settings.gid, clock)
    return Volume(env, Handles(env, launch.restarts), owners, table.secret)


def _notifier(device: int, agreed: Negotiated) -> Notifier:
    return Notifier(device, minor=agreed.minor, on_error=_not_told)


def _not_told(error: OSError) -> None:
    _log.warning("the kernel does not take a notification: %s", error)


def _notify(device: int, message: bytes) -> None:
    try:
        os.write(device, message)
    except OSError as error:
        _log.debug("a notification was not taken: %s", error)  # the kernel forgot the node


if __name__ == "__main__":
    sys.exit(main())
