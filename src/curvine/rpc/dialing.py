# SPDX-License-Identifier: Apache-2.0
"""Sockets, dialled and listening: TCP, and abstract Unix with a check of who is at the other end.

An abstract Unix name lives in the network namespace: it reaches between containers that share the
host's network, needs no directory, and is gone with its process. Any user may take a name, so both
sides check the other's user id with SO_PEERCRED.

Nothing here uses ``asyncio.timeout``: callers may be stepped by hand (``rpc.step``).
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
from collections.abc import Awaitable, Collection
from typing import TypeVar

from curvine.errors import ConnectionLost, IoFailed

#: (host, port) of a TCP peer, or the name of an abstract Unix socket without its leading NUL
Address = tuple[str, int] | str

T = TypeVar("T")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_BACKLOG = 1024


def describe(address: Address) -> str:
    """An address for people."""
    if isinstance(address, str):
        return f"local socket @{address}"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason_of(error: OSError) -> str:
    """What went wrong, in the kernel's words (asyncio puts its own into strerror)."""
    if error.errno is not None and error.errno > 0:  # getaddrinfo's numbers are negative
        return os.strerror(error.errno)
    return error.strerror or str(error)


def trusted_uids() -> frozenset[int]:
    """Whom a local socket believes unless told otherwise: ourselves and root."""
    return frozenset((os.geteuid(), 0))


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end of a Unix socket."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def set_tcp_options(sock: socket.socket) -> None:
    """No delay, and keep-alives that notice a vanished machine within two minutes."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def is_loopback(address: str) -> bool:
    """Whether an IP address can be reached from this machine only."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


async def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """The socket addresses of ``host``; numeric ones are not looked up."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, (str(name[0]), int(name[1]))) for family, _, _, _, name in found]


async def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 lets the kernel choose."""
    try:
        family, name = (await resolve(host, port))[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            set_tcp_options(sock)  # accepted sockets inherit them
            sock.setblocking(False)
            sock.bind(name)
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        reason = reason_of(error)
        raise IoFailed(f"cannot listen on {describe((host, port))}: {reason}") from error
    return sock


def listen_local(name: str) -> socket.socket:
    """A listening abstract Unix socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(f"\0{name}")
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = reason_of(error)
        raise IoFailed(f"cannot listen on {describe(name)}: {reason}") from error
    return sock


async def dial(
    address: Address, timeout: float, trusted: Collection[int] | None = None
) -> socket.socket:
    """Connect within ``timeout`` seconds, in one attempt. ConnectionLost says what went wrong."""
    if isinstance(address, str):
        return _dial_local(address, trusted_uids() if trusted is None else trusted)
    try:
        return await within(_dial_tcp(*address), timeout)
    except TimeoutError as error:
        text = f"cannot connect to {describe(address)}: no answer within {timeout:g} s"
        raise ConnectionLost(text) from error
    except OSError as error:
        reason = reason_of(error)
        raise ConnectionLost(f"cannot connect to {describe(address)}: {reason}") from error


async def _dial_tcp(host: str, port: int) -> socket.socket:
    failure: OSError | None = None
    for family, name in await resolve(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            set_tcp_options(sock)
            await asyncio.get_running_loop().sock_connect(sock, name)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError("the name has no address")


def _dial_local(name: str, trusted: Collection[int]) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(f"\0{name}")
        uid = peer_uid(sock)
    except OSError as error:
        sock.close()
        reason = reason_of(error)
        raise ConnectionLost(f"cannot connect to {describe(name)}: {reason}") from error
    if uid not in trusted:
        sock.close()
        raise ConnectionLost(f"{describe(name)} belongs to user id {uid}, which is not trusted")
    return sock


async def within(work: Awaitable[T], timeout: float) -> T:
    """``wait_for`` that needs no current Task."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait((task,), timeout=timeout)
    except BaseException:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError
    return task.result()
