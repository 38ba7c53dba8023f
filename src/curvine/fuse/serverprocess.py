# SPDX-License-Identifier: Apache-2.0
"""The server as the supervisor sees it: a child with inherited descriptors and a control channel.

Times in seconds. Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from curvine.fuse.launch import Launch, put_document
from curvine.fuse.mountpoint import say

_OWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


def reap() -> list[tuple[int, int]]:
    """(pid, exit code; minus a signal) of every child that ended; as PID 1 also of strangers."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


class ServerProcess:
    """At most one server at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.pid = 0  # 0 = none
        self.channel: socket.socket | None = None

    def start(self, launch: Launch, hash_seed: int) -> None:
        """``hash_seed``: names hash alike in every server, so the table's chains stay valid."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launch = launch._replace(control_fd=theirs.fileno())
        document = put_document(launch, "curvine-launch")
        pid = os.fork()
        if not pid:
            inherited = (*launch.device_fds, launch.table_fd, launch.control_fd, document)
            self._become_server(inherited, document, hash_seed)
        theirs.close()
        os.close(document)
        self.hang_up()
        self.pid, self.channel = pid, ours

    def _become_server(self, inherited: Sequence[int], document: int, hash_seed: int) -> None:
        """In the child. Never returns."""
        try:
            signal.set_wakeup_fd(-1)
            for number in _OWN_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            os.setpgid(0, 0)  # Ctrl-C in a terminal is the supervisor's business
            for fd in inherited:
                os.set_inheritable(fd, True)
            command = [*self._command, "--launch-fd", str(document)]
            os.execve(command[0], command, {**os.environ, "PYTHONHASHSEED": str(hash_seed)})
        except BaseException as error:
            print(f"ERROR: cannot start the FUSE server: {error}", file=sys.stderr, flush=True)
        os._exit(127)

    def send_signal(self, number: int) -> None:
        if self.pid:
            os.kill(self.pid, number)

    def ended(self) -> None:
        """It was reaped."""
        self.pid = 0
        self.hang_up()

    def hang_up(self) -> None:
        if self.channel:
            self.channel.close()
            self.channel = None

    def is_lost(self) -> bool:
        """Whether it was killed while a thread of it is stuck in the kernel.

        A thread that writes a notification waits uninterruptibly for a READ that only the dead
        server could have answered: the process stays half dead, there is no SIGCHLD and nothing to
        reap, until a successor answers. Seen by the state of its first thread.
        """
        if not self.pid:
            return False
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as stream:
                state = stream.read().rpartition(b") ")[2][:1]
        except OSError:
            return False
        return state in (b"Z", b"X")

    def stop(self, timeout: float, wake: int, refuse: Callable[[], None]) -> None:
        """Ask it to end, wait, make an end after ``timeout``.

        ``wake`` becomes readable on SIGCHLD; ``refuse`` answers every request with an error, which
        frees a dead server's stuck threads.
        """
        if not self.pid:
            return
        self.send_signal(signal.SIGTERM)
        if not self._wait(timeout, wake) and not self.is_lost():
            say(f"WARNING: the server did not stop within {timeout:.0f} s; killing it")
            self.send_signal(signal.SIGKILL)
            self._wait(1.0, wake)
        for _ in range(20):
            if not self.pid:
                return
            refuse()
            self._wait(0.1, wake)
        say(f"WARNING: the server (process {self.pid}) cannot be ended")

    def _wait(self, timeout: float, wake: int) -> bool:
        """Whether it was reaped; gives up early when it is lost."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        while time.monotonic() < deadline:
            if self.pid in dict(reap()):
                self.ended()
                return True
            if poll.poll(100):
                os.read(wake, 4096)
            elif self.is_lost():
                return False
        return False
