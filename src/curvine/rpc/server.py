# SPDX-License-Identifier: Apache-2.0
"""A server of frames: listens on TCP and on abstract Unix sockets, watches over its connections.

Times are seconds. Whatever a peer does (a malformed frame, half a frame, silence, a flood, going
away) ends at most its own connection, and is logged once; the same from the same peer again within
a minute is counted instead.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor

from curvine.clock import Clock, SystemClock
from curvine.errors import CurvineError, ProtocolViolation
from curvine.rpc.auth import Auth
from curvine.rpc.dialing import is_loopback, listen, listen_local, peer_uid, trusted_uids
from curvine.rpc.gate import Gate, no_token_here
from curvine.rpc.serving import Handler, Quick, Reply, ReplyData, ServerConnection
from curvine.telemetry.logs import OnceLogger
from curvine.wire.codes import RpcCode
from curvine.wire.frame import MAX_REQUEST_HEADER

__all__ = ["Handler", "Reply", "ReplyData", "RpcServer", "ServerConnection"]

_ACCEPTS = 64  # connections accepted in one turn
_ACCEPT_PAUSE = 0.5  # after running out of descriptors
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_log = logging.getLogger(__name__)
_OPEN = (
    "the %s listens on %s without authentication: whoever reaches it may read and change"
    " everything; give the cluster a token (auth.token_file or CURVINE_AUTH_TOKEN_FILE), or bind"
    " to 127.0.0.1, or close the port to others (docs/security.md)"
)


class _Watched:
    """What the idle watch remembers of a connection."""

    __slots__ = ("active_at", "activity", "moved_at", "movement")

    def __init__(self, now: float) -> None:
        self.activity = self.movement = 0
        self.active_at = self.moved_at = now


class RpcServer:
    """Runs ``handlers`` (code -> handler) for whoever connects. See ``rpc.serving`` for the rules.

    ``idle_timeout``: close after so long without a frame (heartbeats do not count) while nothing is
    pending; None: never. ``stall_timeout``: close a peer that stopped in the middle of a frame, or
    stopped taking its replies. ``executor``: threads that fetch cold file bytes. ``local_uids``:
    whom local sockets serve (ourselves and root). ``auth``: let in only whoever proves the token
    (``rpc.gate``), on every kind of socket. ``before_answers`` is called before the answers of one
    turn leave. ``quick`` answers frames before handlers are looked for.
    """

    def __init__(
        self,
        handlers: Mapping[int, Handler],
        *,
        name: str,
        ordered: bool = False,
        idle_timeout: float | None = None,
        stall_timeout: float = 600.0,
        max_header: int = MAX_REQUEST_HEADER,
        max_pending: int = 256,
        on_unknown: Handler | None = None,
        local_uids: Collection[int] | None = None,
        executor: Executor | None = None,
        clock: Clock | None = None,
        auth: Auth | None = None,
        before_answers: Callable[[], None] | None = None,
        quick: Quick | None = None,
    ) -> None:
        self.name = name
        self.before_answers = before_answers
        self.quick = quick
        self.handlers = handlers
        if auth is None:
            self.handlers = {RpcCode.AUTH_HELLO: no_token_here(name), **handlers}
        self.ordered = ordered
        self.max_header = max_header
        self.max_pending = max_pending
        self.on_unknown = on_unknown
        self.executor = executor
        self.connections: dict[ServerConnection, _Watched] = {}
        self._idle_timeout = idle_timeout
        self._stall_timeout = stall_timeout
        self._local_uids = trusted_uids() if local_uids is None else frozenset(local_uids)
        self._clock = clock or SystemClock()
        self.once = OnceLogger(_log, clock=self._clock)
        self._gate = Gate(name, auth, self._admit, self.once) if auth is not None else None
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen on TCP; returns the address, with the port that the kernel chose if it was 0."""
        sock = await listen(host, port)
        self._serve(sock)
        name = sock.getsockname()
        open_door = self._gate is None or not self._gate.auth.required
        if open_door and not is_loopback(name[0]):
            _log.warning(_OPEN, self.name, name[0])
        return str(name[0]), int(name[1])

    async def start_local(self, name: str) -> None:
        """Listen on an abstract Unix socket as well."""
        self._serve(listen_local(name))

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, let running handlers answer for up to ``grace`` seconds, close."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        listeners, self._listeners = self._listeners, []
        for sock in listeners:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        for connection in list(self.connections):
            connection.channel.pause()
        if self._gate is not None:
            self._gate.close()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace)
        for connection in list(self.connections):
            connection.close()
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # -- accepting --------------------------------------------------------------------------------

    def _serve(self, sock: socket.socket) -> None:
        self._listeners.append(sock)
        loop = asyncio.get_running_loop()
        loop.add_reader(sock.fileno(), self._accept, sock)
        if self._watch is None:
            self._watch = loop.call_later(self._watch_interval(), self._watch_over)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._pause_accepting(listener, error)
                    return
                continue  # that one peer is gone already
            if sock.family == socket.AF_UNIX:
                if not self._is_trusted(sock):
                    sock.close()
                    continue
                peer = "local"
            else:
                peer = str(address[0])
            if self._gate is None:
                self._admit(sock, peer)
            else:
                self._gate.arrived(sock, peer)

    def _admit(self, sock: socket.socket, peer: str, read: bytes = b"") -> None:
        """Serve a peer, of which ``read`` was read already."""
        connection = ServerConnection(self, sock, peer)
        self.connections[connection] = _Watched(self._clock.monotonic())
        if read:
            connection.channel.preload(read)

    def _is_trusted(self, sock: socket.socket) -> bool:
        try:
            uid = peer_uid(sock)
        except OSError:
            return False
        if uid in self._local_uids:
            return True
        text = "%s: refused a local connection from user id %d"
        self.once.log(logging.WARNING, ("uid", uid), text, self.name, uid)
        return False

    def _pause_accepting(self, listener: socket.socket, error: OSError) -> None:
        self.once.log(
            logging.ERROR,
            ("accept", error.errno),
            "%s: cannot accept connections: %s; trying again in %.1f s",
            self.name,
            error.strerror,
            _ACCEPT_PAUSE,
        )
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())
        loop.call_later(_ACCEPT_PAUSE, self._accept_again, listener)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    # -- watching ---------------------------------------------------------------------------------

    def _watch_interval(self) -> float:
        shortest = min(self._stall_timeout, self._idle_timeout or self._stall_timeout)
        return min(max(shortest / 8, 0.05), 15.0)

    def _watch_over(self) -> None:
        self.close_idle()
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(self._watch_interval(), self._watch_over)

    def close_idle(self) -> None:
        """Close the connections whose time is over."""
        now = self._clock.monotonic()
        for connection, watched in list(self.connections.items()):
            channel = connection.channel
            movement = channel.received + channel.out.sent
            if movement != watched.movement:
                watched.movement, watched.moved_at = movement, now
            if connection.activity != watched.activity or connection.pending:
                watched.activity, watched.active_at = connection.activity, now
            waits_for_peer = channel.out.queued > 0 or (channel.partial and channel.is_reading)
            if not waits_for_peer:
                watched.moved_at = now
            if now - watched.moved_at >= self._stall_timeout:
                does = "takes no replies" if channel.out.queued else "stopped inside a frame"
                self._expire(connection, f"{does} for {self._stall_timeout:g} s")
            elif (
                self._idle_timeout is not None
                and not connection.exempt_from_idle
                and now - watched.active_at >= self._idle_timeout
            ):
                self._expire(connection, f"sent no request for {self._idle_timeout:g} s")

    def _expire(self, connection: ServerConnection, why: str) -> None:
        text = "%s: closed the connection of %s, which %s"
        self.once.log(
            logging.INFO, ("idle", connection.peer, why), text, self.name, connection.peer, why
        )
        connection.close()

    # -- for connections --------------------------------------------------------------------------

    def keep(self, task: asyncio.Task[None]) -> None:
        """Host: hold a handler's Task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, connection: ServerConnection, error: CurvineError | None) -> None:
        """Host: a connection is gone."""
        self.connections.pop(connection, None)
        if connection.closing:
            return  # our own doing, and said where it was decided
        peer, name = connection.peer, self.name
        if error is None:
            text = "%s: %s closed its connection"
            self.once.log(logging.INFO, ("end", peer), text, name, peer)
            return
        level = logging.WARNING if isinstance(error, ProtocolViolation) else logging.INFO
        text = "%s: closed the connection of %s: %s"
        self.once.log(level, ("lost", peer, error.message), text, name, peer, error)
