# SPDX-License-Identifier: Apache-2.0
"""An S3 gateway in front of a :class:`curvine.testing.cluster.MiniCluster`, as its own process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from curvine.testing.cluster import MiniCluster

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key-0123456789"
_STUB = (
    "import ctypes, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
    "from curvine.s3.run import main; sys.exit(main())"
)
_READY = "curvine-s3-gateway ready http="


class MiniGateway:
    """The gateway. ``endpoint`` is its URL; further options go behind --conf."""

    def __init__(self, cluster: MiniCluster, *options: str, listen: str = "127.0.0.1:0") -> None:
        self.log = Path(cluster.root) / "s3-gateway.log"
        self.endpoint = ""
        self._command = [
            sys.executable, "-c", _STUB, "--conf", str(cluster.conf_path), "--listen", listen,
            *options,
        ]  # fmt: skip
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def __enter__(self) -> MiniGateway:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("CURVINE_", "AWS_"))}
        environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as sink:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                env=environ,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            text = self.log.read_bytes()[seen:].decode("utf-8", "replace")
            if _READY in text:
                self.endpoint = "http://" + text.partition(_READY)[2].split()[0]
                return self
            if not self.running or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the gateway did not start:\n{text[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        child = self._child
        if child is None:
            return 0
        child.terminate()
        try:
            return child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
