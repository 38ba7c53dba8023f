# SPDX-License-Identifier: Apache-2.0
"""The engine in a child process, so that it can die the way ``kill -9`` kills: without closing.

Children come from a fork server, never from a fork of this process: RocksDB's background threads
(of other tests here) do not survive a fork, and opening a store would wait for them for ever.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

from curvine.clock import ManualClock
from curvine.errors import CurvineError
from curvine.metadata import Limits, Namespace, StoreOptions

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])
_SMALL = StoreOptions(block_cache=1 << 20, big_memtable=1 << 20, small_memtable=1 << 20)


class Raised(Exception):
    """The engine raised; ``kind`` is the class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class NamespaceProcess:
    """Calls the engine in the child that owns it."""

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        self._path = path
        self._limits = limits or Limits()
        self.now = 1_700_000_000_000
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _context.Pipe()
        self._child = _context.Process(
            target=_serve, args=(theirs, self._path, self._limits, self.now), daemon=True
        )
        self._child.start()
        theirs.close()
        assert self._pipe.recv() == "ready"

    def tick(self) -> int:
        """A second passes; the new time in ms."""
        self.now += 1000
        return self.now

    def run(self, call: str | Callable[..., Any], *args: Any, **named: Any) -> Any:
        """A method of the engine, or a module's function with the engine as its first argument.

        Raised for an error of ours.
        """
        self._pipe.send((self.now, call, args, named))
        kind, value = self._pipe.recv()
        if kind == "ok":
            return value
        raise Raised(kind, value)

    def kill(self) -> None:
        """The process dies at once and another one takes over its directory."""
        self._pipe.send(None)
        self._child.join()
        assert self._child.exitcode == 9
        self._start()

    def close(self) -> None:
        self._pipe.send("close")
        self._child.join()
        self._pipe.close()


def _serve(pipe: Any, path: str, limits: Limits, now: int) -> None:
    clock = ManualClock(now)
    namespace = Namespace(path, clock=clock, limits=limits, store_options=_SMALL)
    pipe.send("ready")
    while True:
        try:
            request = pipe.recv()
        except EOFError:  # the test is gone
            os._exit(1)
        if request is None:
            os._exit(9)
        if request == "close":
            namespace.close()
            os._exit(0)
        wanted, call, args, named = request
        clock.advance((wanted - clock.now_ms()) / 1000)
        try:
            if isinstance(call, str):
                answer = ("ok", getattr(namespace, call)(*args, **named))
            else:
                answer = ("ok", call(namespace, *args, **named))
        except CurvineError as error:
            answer = (type(error).__name__, str(error))
        pipe.send(answer)
