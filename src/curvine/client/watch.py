# SPDX-License-Identifier: Apache-2.0
"""Being told of changes in the namespace (decision 6): what caches of a client, and of the kernel,
rest on.

One connection of its own. A master of ours pushes every change below the watched prefixes (code
100); a real Curvine master is asked for its delta page (code 29) every half second, where it has
one; else there is nothing (``Mode.OFF``), and caches go by short times only. Listeners get
``Changes``: single events, or ``reset`` where some may have been missed and everything has to be
forgotten: the master no longer knows what changed since, or there was none for ``Times.gap``.

Before it trusts a cache, a caller asks :meth:`ChangeWatch.is_current`. It looks into the socket,
and the master pushes a change before it answers who made it; so what was acknowledged to anybody
before the question is known to listeners (between machines: as far as the network keeps up).

Who knows what it does itself may ask not to be told (:meth:`ChangeWatch.skip_own`): a master of
ours gives a number to ``on_seq_id``, and tells nothing of requests with that seq_id.

Concurrency: everything on one loop. Listeners are called from it and must not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum

from curvine.client.change_source import RESET, Changes, Feed, Times, open_feed
from curvine.clock import Clock, SystemClock
from curvine.errors import ConnectionLost, CurvineError, NoMaster
from curvine.model.path import ROOT, is_under
from curvine.model.worker import ComponentInfo
from curvine.rpc.auth import Auth
from curvine.rpc.client import RpcConnection
from curvine.telemetry.logs import OnceLogger
from curvine.wire.codes import SEQ_NONE

log = logging.getLogger(__name__)
_once = OnceLogger(log, interval=60)

Listener = Callable[[Changes], None]
_QUEUE = 1024  # Changes that wait for an iterator; beyond, it is told to forget everything


class Mode(Enum):
    """How changes come in now."""

    OFF = "off"  # not at all: not started, no master, or one that offers nothing
    PUSH = "push"
    POLL = "poll"


class ChangeWatch:
    """See the module. Nothing happens before :meth:`start`."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        identity: ComponentInfo,
        *,
        conn_timeout: float,
        auth: Auth | None = None,
        clock: Clock | None = None,
        times: Times | None = None,
    ) -> None:
        self._addresses = list(addresses)
        self._identity = identity
        self._conn_timeout = conn_timeout
        self._auth = auth
        self._clock = clock or SystemClock()
        self._times = times or Times()
        self._listeners: list[Listener] = []
        self._prefixes: tuple[str, ...] | None = None  # None: not started
        self._task: asyncio.Task[None] | None = None
        self._gap: asyncio.TimerHandle | None = None
        self._feed: Feed | None = None
        self._epoch: int | None = None  # where to go on when there is a feed again
        self._again = False
        self._changed = asyncio.Event()  # the mode may have changed
        self._skip_own = False
        self.on_seq_id: Callable[[int], None] = lambda _: None  # SEQ_NONE: none at the moment
        self.resets = 0

    # -- what callers ask

    @property
    def mode(self) -> Mode:
        """How changes come in now."""
        if self._feed is None:
            return Mode.OFF
        return Mode.PUSH if self._feed.pushes else Mode.POLL

    @property
    def is_fed(self) -> bool:
        """Whether changes come in."""
        return self._feed is not None

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What is watched; empty: nothing yet."""
        return self._prefixes or ()

    def covers(self, path: str) -> bool:
        """Whether changes of ``path`` are told."""
        return any(is_under(path, prefix) for prefix in self.prefixes)

    def is_current(self, path: str) -> bool:
        """Whether listeners know of every change of ``path`` that anybody was told to be done."""
        feed = self._feed
        return feed is not None and self.covers(path) and feed.is_current()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of changes from now on; the function returned ends it."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    async def changes(self) -> AsyncIterator[Changes]:
        """Likewise for ``async for``."""
        queue: asyncio.Queue[Changes] = asyncio.Queue(_QUEUE)

        def take(changes: Changes) -> None:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                changes = RESET
            queue.put_nowait(changes)

        stop = self.listen(take)
        try:
            while True:
                yield await queue.get()
        finally:
            stop()

    # -- life

    def start(self, prefixes: Sequence[str] = (ROOT,)) -> None:
        """Watch below ``prefixes``, besides those watched already."""
        if all(self.covers(prefix) for prefix in prefixes):
            return
        wanted = {*self.prefixes, *prefixes}
        self._prefixes = tuple(
            sorted(p for p in wanted if not any(p != o and is_under(p, o) for o in wanted))
        )
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._begin_again()

    def skip_own(self, skip: bool) -> None:
        """Whether to be spared what this client does itself, where the master can tell."""
        if skip is not self._skip_own:
            self._skip_own = skip
            self._begin_again()

    def _begin_again(self) -> None:
        if self._feed is not None:
            self._again = True  # another feed with what is wanted now, from the same epoch
            self._feed.close()

    async def wait(self, *modes: Mode, timeout: float) -> bool:
        """Wait until the mode is one of ``modes``; False: not within ``timeout``."""
        deadline = self._clock.monotonic() + timeout
        while self.mode not in modes:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return False
        return True

    async def close(self) -> None:
        """End it."""
        task, self._task = self._task, None
        if self._gap is not None:
            self._gap.cancel()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        pause = self._times.first_retry
        while True:
            try:
                feed = await self._connect()
                pause = self._times.first_retry
                if feed is None:
                    self._lost()
                    await asyncio.sleep(self._times.ask_again)
                    continue
                await self._follow(feed)
            except ConnectionLost as error:
                self._lost()
                if self._again:
                    self._again = False
                    continue
                _once.log(logging.INFO, ("broken", self._addresses[0]), "the watch: %s", error)
            except CurvineError as error:
                text = "changes are not told at the moment, no master: %s"
                _once.log(logging.WARNING, ("lost", self._addresses[0]), text, error)
                self._lost()
            except Exception as error:
                _once.log(logging.ERROR, type(error), "the watch failed", error=error)
                self._lost()
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._times.longest_retry)

    async def _follow(self, feed: Feed) -> None:
        if self._gap is not None:
            self._gap.cancel()
            self._gap = None
        self._feed = feed
        self.on_seq_id(feed.seq_id)
        self._changed.set()
        try:
            await feed.run()
        finally:
            self._epoch = feed.epoch
            self._feed = None
            self.on_seq_id(SEQ_NONE)
            feed.close()
            self._changed.set()

    async def _connect(self) -> Feed | None:
        """A feed from the first master that is active; that one is asked first the next time."""
        failure: CurvineError | None = None
        for address in list(self._addresses):
            connection: RpcConnection | None = None
            feed: Feed | None = None
            try:
                connection = await RpcConnection.connect(
                    *address, self._conn_timeout, auth=self._auth
                )
                feed = await open_feed(
                    connection, self._identity, self.prefixes, self._epoch, self._tell,
                    self._times, self._skip_own,
                )  # fmt: skip
            except CurvineError as error:
                failure = error
                continue
            finally:
                if connection is not None and feed is None:
                    connection.close()
            self._addresses.remove(address)
            self._addresses.insert(0, address)
            return feed
        raise failure or NoMaster("no master address is configured (client.master_addrs)")

    def _lost(self) -> None:
        """No changes come in: after a while nothing that rests on them may be believed."""
        if self._gap is None:
            loop = asyncio.get_running_loop()
            self._gap = loop.call_later(self._times.gap, self._tell, RESET)

    def _tell(self, changes: Changes) -> None:
        self.resets += changes.reset
        for listener in tuple(self._listeners):
            try:
                listener(changes)
            except Exception as error:
                _once.log(logging.ERROR, type(error), "a listener of changes failed", error=error)
