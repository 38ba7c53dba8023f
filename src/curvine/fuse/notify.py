# SPDX-License-Identifier: Apache-2.0
"""The thread that writes notifications to the kernel; never the loop (decision 12).

NOTIFY_INVAL_INODE over a range blocks until a READ in flight is answered, NOTIFY_INVAL_ENTRY while
a LOOKUP in that directory is: the loop that has to answer must not be the one that waits. Waiting
messages are kept once each; when there are very many, one message that makes every name be looked
up again takes the place of the names (kernel 7.44).
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable

from curvine.fuse.abi import notifications

# Names waiting beyond which an epoch step is cheaper for everybody than each one by itself.
EPOCH_THRESHOLD = 20_000
# The kernel does not know the node or the name (any more), or the mount ends: nothing to do.
_EXPECTED = {errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EBUSY, errno.ESTALE}
_ENDED = {errno.ENODEV, errno.EBADF, errno.ENOTCONN, errno.EPERM}


class Notifier:
    """Orders go in from any thread and return at once; one thread writes them in order."""

    def __init__(
        self,
        device: int,
        *,
        minor: int,
        on_error: Callable[[OSError], None] | None = None,
    ) -> None:
        self._device = device
        self._expire = minor >= 38
        self._epoch = minor >= 44
        self._on_error = on_error
        self._waiting: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._wake = threading.Condition()
        self._busy = False
        self._closed = False
        self.sent = 0
        self._thread = threading.Thread(target=self._run, name="fuse-notify", daemon=True)
        self._thread.start()

    # --- orders --------------------------------------------------------------------------------

    def attributes(self, nodeid: int) -> None:
        """Forget the attributes of a node, keep its pages (never blocks in the kernel)."""
        self._put(("attributes", nodeid), notifications.inval_inode(nodeid, -1, 0))

    def content(self, nodeid: int, offset: int = 0, length: int = 0) -> None:
        """Forget attributes and pages (length 0: to the end)."""
        message = notifications.inval_inode(nodeid, offset, length)
        self._put(("content", nodeid, offset, length), message)

    def entry(self, parent: int, name: bytes, *, expire_only: bool = False) -> None:
        """Forget a name; with ``expire_only`` it is looked up again and nothing is unhashed."""
        message = notifications.inval_entry(parent, name, expire_only=expire_only and self._expire)
        self._put(("entry", parent, name), message)

    def deleted(self, parent: int, child: int, name: bytes) -> None:
        """A name was removed by another client."""
        self._put(("deleted", parent, name), notifications.delete(parent, child, name))

    def all_names(self) -> bool:
        """Make every name be looked up again. False: this kernel cannot (before 7.44)."""
        if self._epoch:
            with self._wake:
                for key in [k for k in self._waiting if k[0] == "entry"]:
                    del self._waiting[key]
            self._put(("epoch",), notifications.inc_epoch())
        return self._epoch

    def _put(self, key: tuple[object, ...], message: bytes) -> None:
        with self._wake:
            if self._closed:
                return
            self._waiting[key] = message
            crowded = len(self._waiting) > EPOCH_THRESHOLD and key[0] == "entry"
            self._wake.notify()
        if crowded:
            self.all_names()

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                while not self._waiting and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                _, message = self._waiting.popitem(last=False)
                self._busy = True
            if not self._write(message):
                with self._wake:
                    self._closed = True
                    self._busy = False
                    self._waiting.clear()
                    self._wake.notify_all()
                return

    def _write(self, message: bytes) -> bool:
        """Whether to go on."""
        try:
            os.write(self._device, message)
            self.sent += 1
        except OSError as error:
            if error.errno in _ENDED:
                return False
            if error.errno not in _EXPECTED and self._on_error:
                self._on_error(error)
        return True

    def drain(self, timeout: float) -> bool:
        """Wait until everything ordered so far is written (never on the loop)."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def close(self) -> None:
        """Stop. What waits is dropped; a write that blocks ends with the mount."""
        with self._wake:
            self._closed = True
            self._waiting.clear()
            self._wake.notify_all()
        self._thread.join(timeout=1.0)
