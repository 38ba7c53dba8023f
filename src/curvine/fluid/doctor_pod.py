# SPDX-License-Identifier: Apache-2.0
"""Checks in a ThinRuntime's pod, or on a node: nothing but the machine itself is asked."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from collections.abc import Iterator, Mapping

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.config.load import load
from curvine.errors import ConfigError, CurvineError, NotFound
from curvine.fluid.doctor import Result
from curvine.fluid.mount_plan import MountPlan, Place, make_plan
from curvine.fluid.parse_main import CONF_NAME, DEFAULT_HOME
from curvine.fluid.place_conf import place_conf
from curvine.fluid.runtime_config import RuntimeConfig, find_config, read_config, searched_paths
from curvine.fuse import mount

_SYS_ADMIN = 1 << 21
_PATIENCE = 5.0  # seconds for one connection
_RUNTIME_MOUNTS = ("/runtime-mnt/thin/", "/runtime-mnt/cache/")


def pod_checks(env: Mapping[str, str], explicit: str | None = None) -> Iterator[Result]:
    """Everything that can be seen from inside the pod."""
    path = explicit or find_config(env)
    plan: MountPlan | None = None
    config: RuntimeConfig | None = None
    if path is None and not env.get("CURVINE_MASTER_ENDPOINTS"):
        yield Result(
            "config", "error", f"there is none of {', '.join(searched_paths(env))}",
            "is this a pod of Fluid? The ConfigMap <dataset>-fuse-conf holds it",
        )  # fmt: skip
    else:
        try:
            config = read_config(path) if path else None
            plan = make_plan(config, env)
            yield Result("config", "ok", f"{path or 'the environment'}: {len(plan.places)} mounts")
            for warning in plan.warnings:
                yield Result("options", "warning", warning, "correct the Dataset's mount options")
        except ConfigError as error:
            yield Result("config", "error", str(error), "correct the Dataset as it says")
    yield _device()
    yield _privileges()
    if plan is not None:
        yield from _target(plan.target)
        yield from _generated(plan, env)
        for place in plan.places:
            yield from _masters(place)
    yield _memory()
    yield _kernel()


def node_checks() -> Iterator[Result]:
    """Mounts of a node: those of Fluid's pods, and the binds of applications on them."""
    seen = 0
    for entry in mount.mount_table():
        fluid = entry.point.startswith(_RUNTIME_MOUNTS)
        bind = "/kubernetes.io~csi/" in entry.point and entry.is_curvine
        if not (fluid and entry.is_fuse) and not bind:
            continue
        seen += 1
        if mount.is_dead(entry.point):
            yield Result(
                "node mounts", "error", f"{entry.point} is dead: its process is gone",
                f"umount -l {entry.point}"
                if fluid else "restart the pod that uses it; FuseRecovery and mountPropagation "
                "HostToContainer let running pods find the new mount",
            )  # fmt: skip
        else:
            yield Result("node mounts", "ok", f"{entry.point} answers")
    if not seen:
        yield Result("node mounts", "note", "no mount of Fluid is visible from here")


def _device() -> Result:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return Result("/dev/fuse", "error", error.strerror or "",
                      "the container must be privileged; on the node: modprobe fuse")  # fmt: skip
    return Result("/dev/fuse", "ok", "can be opened")


def _privileges() -> Result:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line)
    capable = bool(int(rows["CapEff"].strip(), 16) & _SYS_ADMIN)
    if os.geteuid() == 0 and capable:
        return Result("privileges", "ok", "root with CAP_SYS_ADMIN")
    return Result(
        "privileges",
        "error",
        f"uid {os.geteuid()}, CAP_SYS_ADMIN: {capable}",
        "Fluid's mount pods run as root and privileged; is a policy in the way?",
    )


def _target(target: str) -> Iterator[Result]:
    parent = os.path.dirname(target)
    there = [e for e in mount.mount_table() if e.point == target]
    fuses = [e for e in there if e.is_fuse]
    below = [e.point for e in mount.mount_table()
             if e.is_fuse and e.point.startswith(parent + "/") and e.point != target]  # fmt: skip
    if not os.path.isdir(parent):
        yield Result("target", "error", f"{parent} does not exist",
                     "the pod's volume thin-fuse-mount is missing")  # fmt: skip
        return
    if not fuses:
        yield Result("mount", "error", f"nothing of FUSE is mounted at {target}",
                     "see the container's log (kubectl logs) for ERROR: lines")  # fmt: skip
    elif mount.is_dead(target):
        yield Result("mount", "error", f"{target} is dead (Transport endpoint is not connected)",
                     "restart the pod: it detaches the dead mount first; by hand: "
                     f"curvine-umount {target}")  # fmt: skip
    else:
        yield Result("mount", "ok", f"{target} answers ({fuses[-1].source})")
        kind = f"{fuses[-1].fstype} {fuses[-1].source}"
        if os.environ.get("FLUID_RUNTIME_TYPE") == "thin" and "thin" not in kind:
            yield Result("mount type", "warning", f"{kind} does not name thin, so Fluid's check in "
                         "application pods fails", "use the image's entry point")  # fmt: skip
    if len(fuses) > 1 or below:
        yield Result(
            "mounts",
            "warning",
            f"{len(fuses)} mounts at the target, others below: "
            f"{', '.join(below) or 'none'}; Fluid's recovery takes any of them",
            "sidecars of one node: annotation "
            "default.fuse-sidecar.fluid.io/host-mount-path-mode: random-suffix",
        )


def _generated(plan: MountPlan, env: Mapping[str, str]) -> Iterator[Result]:
    conf = os.path.join(env.get("CURVINE_HOME") or DEFAULT_HOME, CONF_NAME)
    if not os.path.isfile(conf):
        yield Result("generated files", "error", f"{conf} does not exist",
                     "fluid-config-parse.py has not run; use the image's entry point")  # fmt: skip
        return
    try:
        made = load(conf, env={}).conf
    except CurvineError as error:
        yield Result("generated files", "error", str(error), "run fluid-config-parse.py again")
        return
    first = plan.places[0].masters if plan.places else ()
    if first and made.client_master_addrs() != first:
        yield Result("generated files", "warning", f"{conf} has other masters than the Dataset",
                     "Fluid before 1.0.1 does not update pods: delete the pod; otherwise wait a "
                     "minute for kubelet")  # fmt: skip
    else:
        yield Result("generated files", "ok", conf)


def _masters(place: Place) -> Iterator[Result]:
    """DNS, TCP and Curvine's own protocol, in this order, for each master; then the path."""
    name = f"master of {place.label}"
    reached = []
    for host, port in place.masters:
        where = "(from a secret)" if place.masters_secret else f"{host}:{port}"
        try:
            socket.create_connection((host, port), _PATIENCE).close()
        except socket.gaierror:
            yield Result(name, "error", f"{where}: no address for that name", "with the host's "
                         "network only full names resolve: master.namespace.svc")  # fmt: skip
        except OSError as error:
            why = error.strerror or str(error)
            yield Result(
                name,
                "error",
                f"{where}: {why}",
                "is the master running, is the port its "
                "RPC port (8995), does a NetworkPolicy or firewall forbid it?",
            )
        else:
            reached.append((host, port))
    if not reached:
        return
    shown = "(from a secret)" if place.masters_secret else ", ".join(f"{h}:{p}" for h, p in reached)
    try:
        asyncio.run(_ask(place, reached))
    except NotFound:
        yield Result(name, "error", f"{shown}: there is no {place.fs_path}",
                     f"cv fs mkdir {place.fs_path}, or correct mountPoint")  # fmt: skip
    except (CurvineError, OSError) as error:
        yield Result(name, "error", f"{shown}: accepts connections, but: {error}",
                     "is it the RPC port (not a web page's), the right access-token?")  # fmt: skip
    else:
        yield Result(name, "ok", f"{shown} answers and has {place.fs_path}")


async def _ask(place: Place, reached: list[tuple[str, int]]) -> None:
    conf = place_conf(place, int(_PATIENCE * 1000), reached)
    async with asyncio.timeout(3 * _PATIENCE), ClusterClient(conf, component="doctor") as cluster:
        fs = UnifiedFileSystem(cluster)
        try:
            await fs.status(place.fs_path)
        finally:
            await fs.close()


def _memory() -> Result:
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is None or used is None:
        return Result("memory", "ok", "no limit")
    share = f"{used >> 20} of {limit >> 20} MiB"
    if used > 0.9 * limit:
        return Result("memory", "warning", f"{share} are used; the kernel will end the mount",
                      "raise fuse.resources.limits.memory in the profile")  # fmt: skip
    return Result("memory", "ok", share)


def _cgroup(name: str) -> int | None:
    try:
        with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _kernel() -> Result:
    release = platform.release()
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0]
    version = (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)
    if version < (5, 10):
        return Result("kernel", "warning", f"{release} is older than 5.10", "use a newer node")
    if version < (6, 9):
        return Result("kernel", "note", f"{release}: reads by passthrough and mounts that survive "
                      "a crash need 6.9")  # fmt: skip
    return Result("kernel", "ok", release)
