# SPDX-License-Identifier: Apache-2.0
"""The supervisor: holds /dev/fuse, the mount and the node table while servers come and go.

A bare process (standard library, no asyncio, no protobuf). It starts the server, waits for its
``ready``, mounts, answers INIT, and then sleeps. When the server dies, a successor gets the same
descriptors and the kernel gives out again what was not answered (FUSE_NOTIFY_RESEND, kernel 6.9);
older kernels get a new mount instead. It ends with 0 after SIGTERM or SIGINT (server stopped, own
mount taken away) and after somebody unmounted; as PID 1 it reaps whatever is left to it. SIGHUP
goes on to the server, SIGUSR1 replaces the server by a new one.
Source: design decision 14; Fluid contract 10.1.

It never polls /dev/fuse while a server lives: every request would wake it up.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import Any

from curvine.fuse import device, fusermount, mount, noderecords
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import negotiation
from curvine.fuse.abi.replies import error as error_reply
from curvine.fuse.launch import Launch, MountPlan, Plan, receive, send, take_plan
from curvine.fuse.mountpoint import Failed, prepare_target, say
from curvine.fuse.serverprocess import ServerProcess, reap

_INIT_TIMEOUT = 10.0
_IDLE_CHECK = 1.0  # how soon is noticed what nothing reports: an unmount, a half dead server
_LONGEST_PAUSE = 5.0
_STEADY = 2.0  # a server that has served for so long is not one that cannot start
_PR_SET_NAME = 15


class Supervisor:
    """One mount for its whole life. ``run`` gives the exit code."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.points: list[str] = []
        self.devices: list[int] = []
        self.first = -1  # of a mount by fusermount3: its own descriptor, held for its life
        self.table = -1
        self.entry: mount.MountEntry | None = None
        self.agreed: negotiation.Negotiated | None = None
        self.server = ServerProcess(plan.server)
        self.checker = 0  # pid of the child that looks at the new mount
        self.deaths: deque[float] = deque()
        self.restarts = 0
        self.replacing = False
        self.serving_since = 0.0  # monotonic; 0 = the server is still starting
        self.signals: deque[int] = deque()
        self.wake_r, self.wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    # --- life ----------------------------------------------------------------------------------

    def run(self) -> int:
        self._install_signals()
        try:
            self._open()
            self._start_server()
            while True:
                code = self._step()
                if code is not None:
                    return code
        except Failed as failure:
            print(f"ERROR: {failure}", file=sys.stderr, flush=True)
            self._stop_server()
            self._unmount()
            return 1

    def _open(self) -> None:
        self.points = prepare_target(self.plan.mount)
        try:
            self.devices = [device.open_device() for _ in range(max(1, self.plan.devices))]
        except OSError as error:
            raise Failed(f"cannot open {device.DEVICE}: {error.strerror}") from None
        self.table = noderecords.create_table()

    def _step(self) -> int | None:
        """Wait for one thing to happen and deal with it; an exit code ends the life."""
        poll = select.poll()
        poll.register(self.wake_r, select.POLLIN)
        channel = self.server.channel
        if channel:
            poll.register(channel.fileno(), select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_IDLE_CHECK * 1000)}
        if self.wake_r in ready:
            os.read(self.wake_r, 4096)
        while self.signals:
            code = self._on_signal(self.signals.popleft())
            if code is not None:
                return code
        if channel and channel.fileno() in ready:
            self._on_message(channel)
        ended = reap()
        if not ready and not ended and self.server.is_lost():
            ended = reap() or [(self.server.pid, -signal.SIGKILL)]
        for pid, status in ended:
            code = self._on_exit(pid, status)
            if code is not None:
                return code
        if self.entry and device.is_unmounted(self.devices[0]):
            return self._on_unmounted()
        return None

    # --- signals -------------------------------------------------------------------------------

    def _install_signals(self) -> None:
        def remember(number: int, frame: FrameType | None) -> None:
            self.signals.append(number)

        signal.set_wakeup_fd(self.wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, remember)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # wakes the poll

    def _on_signal(self, number: int) -> int | None:
        if number in (signal.SIGTERM, signal.SIGINT):
            say(f"{signal.Signals(number).name}: stopping")
            # Unmounting first lets the kernel write dirty pages back while they can be taken.
            self._unmount()
            self._stop_server()
            return 0
        if number == signal.SIGHUP:
            self.server.send_signal(signal.SIGHUP)
        if number == signal.SIGUSR1 and self.entry and not self.replacing:
            say("SIGUSR1: replacing the server")
            self.replacing = True
            self.server.send_signal(signal.SIGTERM)
        return None

    # --- the server ----------------------------------------------------------------------------

    def _start_server(self) -> None:
        launch = Launch(
            tuple(self.devices),
            self.table,
            -1,
            self.restarts,
            self.plan.mount._replace(target=self.points[0]),
            self.plan.conf,
        )
        self.server.start(launch, noderecords.hash_seed(self.table))

    def _stop_server(self) -> None:
        def refuse() -> None:
            device.refuse_pending(self.devices, self.agreed.max_write if self.agreed else 0)

        self.server.stop(self.plan.stop_timeout, self.wake_r, refuse)

    def _on_message(self, channel: socket.socket) -> None:
        message = receive(channel)
        if message is None:  # its exit is on the way, waitpid tells
            self.server.hang_up()
        elif message["event"] == "failed":
            raise Failed(message["text"])
        elif message["event"] == "ready":
            if self.agreed is None:
                self._make_mount(message)
            try:
                device_number = self.entry.device if self.entry else ""
                send(channel, event="go", negotiated=self.agreed, device=device_number)
            except OSError:
                return  # it died in between, waitpid tells
            self.serving_since = time.monotonic()
            if self.restarts == 0:
                self._check_mount()
            else:
                say(f"server {self.server.pid} has taken over (restart {self.restarts})")

    def _on_exit(self, pid: int, code: int) -> int | None:
        if pid == self.checker:
            self.checker = 0
            text = "" if code == 0 else f" (first statfs: {os.strerror(abs(code))})"
            device_number = self.entry.device if self.entry else "?"
            print(f"curvine-fuse ready mnt={self.points[0]} dev={device_number}{text}", flush=True)
        if pid != self.server.pid:
            return None
        self._drain_messages()
        self.server.ended()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if self.entry is None:
            raise Failed(f"the FUSE server ended before it was ready ({how})")
        if device.is_unmounted(self.devices[0]):
            return self._on_unmounted()
        self._replace_server(how)
        return None

    def _drain_messages(self) -> None:
        """A server that failed says why and then exits: its word comes first."""
        while channel := self.server.channel:
            poll = select.poll()
            poll.register(channel.fileno(), select.POLLIN)
            if not poll.poll(0):
                return
            self._on_message(channel)

    def _replace_server(self, how: str) -> None:
        now = time.monotonic()
        if not self.replacing:
            if self.serving_since and now - self.serving_since >= _STEADY:
                self.deaths.clear()  # killed from outside, however often: no reason to give up
            self.deaths.append(now)
            while self.deaths and self.deaths[0] < now - self.plan.restart_window:
                self.deaths.popleft()
            say(f"the server ended unexpectedly ({how}); starting another one")
        self.replacing = False
        self.serving_since = 0.0
        if len(self.deaths) > self.plan.max_restarts:
            raise Failed(
                f"the FUSE server ended {len(self.deaths)} times within "
                f"{self.plan.restart_window:.0f} s; giving the mount up"
            )
        if len(self.deaths) > 1:
            self._pause(min(0.1 * 2 ** (len(self.deaths) - 2), _LONGEST_PAUSE))
        self.restarts += 1
        if self.plan.resend and self.agreed and self.agreed.offered & c.HAS_RESEND:
            device.resend_pending(self.devices[0])
        else:
            self._forget_mount()
        self._start_server()

    def _pause(self, seconds: float) -> None:
        """Sleep, but wake for a signal."""
        poll = select.poll()
        poll.register(self.wake_r, select.POLLIN)
        deadline = time.monotonic() + seconds
        while not self.signals and (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                os.read(self.wake_r, 4096)

    def _forget_mount(self) -> None:
        """This kernel cannot resend: a new mount takes the place of the one that is lost."""
        say("this kernel cannot resend requests: detaching and mounting again")
        self._unmount()
        for fd in (*self.devices, self.table):
            os.close(fd)
        self.entry = self.agreed = None
        self.restarts = 0
        self._open()

    # --- the mount -----------------------------------------------------------------------------

    def _make_mount(self, message: dict[str, Any]) -> None:
        plan = self.plan.mount
        wanted = negotiation.Wanted(**message["wanted"])
        self.points = prepare_target(plan)  # again: the master may have let us wait for long
        data = (*plan.data, f"max_read={wanted.max_write}")
        try:
            self.entry = self._mount_at(self.points[0], plan, data)
        except OSError as error:
            why = error.strerror or error
            raise Failed(f"cannot mount at {self.points[0]}: {why}") from None
        self.agreed = self._answer_init(wanted)
        noderecords.store_negotiated(self.table, self.agreed)
        for clone in self.devices[1:]:
            device.clone_into(clone, self.devices[0])
        read_ahead = message.get("read_ahead_kb")
        if read_ahead and not mount.set_read_ahead(self.entry.device, read_ahead):
            say("WARNING: read-ahead stays at the kernel's default: /sys/class/bdi is not writable")
        for point in self.points[1:]:
            mount.bind(self.points[0], point, plan.flags)

    def _mount_at(self, point: str, plan: MountPlan, data: Sequence[str]) -> mount.MountEntry:
        """Mount with our own rights, else by fusermount3: then our descriptors, which the server
        has already, become clones of the one that it sends."""
        try:
            return mount.mount_fuse(
                point, self.devices[0],
                fstype=plan.fstype, source=plan.source, flags=plan.flags, data=data,
            )  # fmt: skip
        except PermissionError:
            if not os.geteuid():
                raise
        read_only = bool(plan.flags & mount.MS_RDONLY)
        made = fusermount.mount(
            point, fstype=plan.fstype, source=plan.source, read_only=read_only, data=data
        )
        device.clone_into(self.devices[0], made)
        self.first = made
        return mount.made_at(point, plan.fstype)

    def _answer_init(self, wanted: negotiation.Wanted) -> negotiation.Negotiated:
        poll = select.poll()
        poll.register(self.devices[0], select.POLLIN)
        while poll.poll(_INIT_TIMEOUT * 1000):
            unique, body, offered = negotiation.read_init(os.read(self.devices[0], 1 << 16))
            if body.major > c.KERNEL_VERSION:
                os.write(self.devices[0], negotiation.version_reply(unique))
                continue
            agreed = negotiation.negotiate(body, offered, wanted)
            if agreed is None:
                os.write(self.devices[0], error_reply(unique, 71))  # EPROTO
                raise Failed(f"the kernel's FUSE {body.major}.{body.minor} is older than 7.31")
            os.write(self.devices[0], negotiation.init_reply(unique, agreed, wanted))
            return agreed
        raise Failed("the kernel did not begin the FUSE session")

    def _check_mount(self) -> None:
        """A child asks the new mount for its statfs; its end is noticed like any other."""
        pid = os.fork()
        if pid:
            self.checker = pid
            return
        code = 0
        try:
            signal.set_wakeup_fd(-1)
            signal.alarm(10)  # ends this child: the default action of SIGALRM
            os.statvfs(self.points[0])
        except OSError as error:
            code = min(error.errno or 5, 255)
        os._exit(code)

    def _unmount(self) -> None:
        if self.entry is None:
            return
        for point in mount.unmount(self.entry.device):
            say(f"WARNING: {point} stays mounted: another mount lies over it")

    def _on_unmounted(self) -> int:
        say(f"{self.points[0]} was unmounted; ending")
        self._stop_server()
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m curvine.fuse.supervisor --plan-fd N``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    plan = take_plan(int(arguments[arguments.index("--plan-fd") + 1]))
    ctypes.CDLL(None).prctl(_PR_SET_NAME, b"curvine-fuse", 0, 0, 0)
    return Supervisor(plan).run()


if __name__ == "__main__":
    sys.exit(main())
