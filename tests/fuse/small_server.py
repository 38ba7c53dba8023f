# SPDX-License-Identifier: Apache-2.0
"""A blocking FUSE server of one page, to try the supervisor, the ABI and the node table with.

/data answers reads from a pattern (by splice when conf has "file"), /pass is opened by passthrough
of that file, /slow keeps its READ unanswered in the first server (conf["always"]: in each) and
tells so by making conf["mark"]. conf["fail"] makes it refuse to start, conf["deaf"] ignore SIGTERM,
conf["orphan"] leave a grandchild behind, conf["direct"] go without the page cache. SIGHUP takes
the name /data out of the kernel's cache.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys

from curvine.fuse import device, noderecords
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request, decode, forgets
from curvine.fuse.launch import SupervisorLink
from curvine.fuse.nodetable import NodeTable
from curvine.fuse.notify import Notifier

SIZE = 256 * 1024
CONTENT = bytes(range(256)) * 1024
NAMES = {b"data": 2, b"slow": 3, b"pass": 4}


class Server:
    def __init__(self, link: SupervisorLink) -> None:
        self.link = link
        self.conf = link.launch.conf
        self.table = NodeTable(link.launch.table_fd)
        self.buffer = memoryview(bytearray((1 << 20) + 4096))
        self.pipe = device.SplicePipe(1 << 20)
        self.file = os.open(self.conf["file"], os.O_RDONLY) if "file" in self.conf else -1

    def attr(self, inode: int) -> replies.Attr:
        mode = 0o040755 if inode in (0, 1) else 0o100644
        size = 4096 if inode in (0, 1) else SIZE
        return replies.Attr(inode or 1, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096)

    def run(self) -> int:
        agreed = self.link.ready(read_ahead_kb=1024)
        assert agreed.minor >= c.MINIMUM_MINOR
        notifier = Notifier(self.link.launch.device_fds[0], minor=agreed.minor)

        def invalidate(number: int, frame: object) -> None:
            notifier.entry(1, b"data", expire_only=True)
            notifier.attributes(self.table.find(1, b"data"))
            notifier.content(self.table.find(1, b"slow") or 99)

        signal.signal(signal.SIGHUP, invalidate)
        poll = select.poll()
        for fd in (*self.link.launch.device_fds, self.link.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.link.fileno():
                    return 0
                try:
                    length = os.readv(fd, [self.buffer])
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno == errno.ENODEV:
                        return 0
                    raise
                self.serve(fd, decode(self.buffer[:length]))

    def serve(self, fd: int, request: Request) -> None:
        handler = getattr(self, f"op_{request.name}", None)
        if handler is None:
            os.write(fd, replies.error(request.unique, errno.ENOSYS))
            return
        answer = handler(request, fd)
        if answer is not None:
            os.write(fd, answer)

    def op_lookup(self, request: Request, fd: int) -> bytes:
        inode = NAMES.get(request.names[0])
        if inode is None:
            return replies.negative_entry(request.unique, 1000)
        print("lookup", request.names[0].decode(), flush=True)
        node = self.table.intern(request.nodeid, request.names[0], 0, inode, 0o100644)
        generation = self.table.generation(node)
        return replies.entry(request.unique, node, generation, self.attr(inode), 60_000, 60_000)

    def op_getattr(self, request: Request, fd: int) -> bytes:
        return replies.attr(request.unique, self.attr(self.table.inode(request.nodeid)), 60_000)

    def op_statfs(self, request: Request, fd: int) -> bytes:
        return replies.statfs(
            request.unique, blocks=100, bfree=50, bavail=40, files=9, ffree=8, bsize=4096
        )

    def op_opendir(self, request: Request, fd: int) -> bytes:
        return replies.open_(request.unique, 1, c.FOPEN_CACHE_DIR)

    def op_readdirplus(self, request: Request, fd: int) -> bytes:
        listing = replies.DirectoryBuffer(request.body.size)
        for position, (name, inode) in enumerate(sorted(NAMES.items()), 1):
            if position > request.body.offset:
                node = self.table.intern(1, name, 0, inode, 0o100644)
                generation = self.table.generation(node)
                listing.add_plus(node, generation, self.attr(inode), 1000, 1000, position, name)
        return listing.message(request.unique)

    def op_readdir(self, request: Request, fd: int) -> bytes:
        listing = replies.DirectoryBuffer(request.body.size)
        for position, (name, inode) in enumerate(sorted(NAMES.items()), 1):
            if position > request.body.offset:
                listing.add(inode, position, 0o100644, name)
        return listing.message(request.unique)

    def op_open(self, request: Request, fd: int) -> bytes:
        node = request.nodeid
        if self.table.inode(node) == NAMES[b"pass"]:
            backing = self.table.get(node).backing_id or device.backing_open(fd, self.file)
            self.table.opened(node, noderecords.IO_PASSTHROUGH, backing)
            return replies.open_(request.unique, node, c.FOPEN_PASSTHROUGH, backing)
        self.table.opened(node, noderecords.IO_CACHED)
        flags = c.FOPEN_DIRECT_IO if "direct" in self.conf else 0
        return replies.open_(request.unique, node, flags)

    def op_read(self, request: Request, fd: int) -> bytes | None:
        node = self.table.get(request.nodeid)
        first = self.link.launch.restarts == 0 or "always" in self.conf
        if node.inode == NAMES[b"slow"] and first:
            with open(self.conf["mark"], "w", encoding="ascii") as mark:
                mark.write(str(os.getpid()))
            return None
        offset, size = request.body.offset, min(request.body.size, SIZE - request.body.offset)
        if self.file >= 0 and self.pipe.reply(fd, request.unique, self.file, offset, size):
            return None
        return replies.data(request.unique, CONTENT[offset : offset + size])

    def op_release(self, request: Request, fd: int) -> bytes:
        backing = self.table.get(request.nodeid).backing_id
        if not self.table.closed(request.nodeid) and backing:
            device.backing_close(fd, backing)
        return replies.ok(request.unique)

    def op_releasedir(self, request: Request, fd: int) -> bytes:
        return replies.ok(request.unique)

    def op_flush(self, request: Request, fd: int) -> bytes:
        return replies.ok(request.unique)

    def op_destroy(self, request: Request, fd: int) -> bytes:
        return replies.ok(request.unique)

    def op_forget(self, request: Request, fd: int) -> None:
        for node, count in forgets(request):
            self.table.forget(node, count)

    op_batch_forget = op_forget

    def op_interrupt(self, request: Request, fd: int) -> None:
        return None


def main() -> int:
    link = SupervisorLink.from_argv(sys.argv)
    deaf = link.launch.conf.get("deaf")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda number, frame: sys.exit(0))
    if link.launch.conf.get("orphan") and not os.fork():
        print("orphan", os.getpid(), flush=True)
        os.fork()  # parent and child end at once; both become the supervisor's in the end
        os._exit(0)
    if "fail" in link.launch.conf:
        link.failed(link.launch.conf["fail"])
        return 1
    if link.launch.conf.get("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    return Server(link).run()


if __name__ == "__main__":
    sys.exit(main())
