# SPDX-License-Identifier: Apache-2.0
"""A small real cluster for tests: one master and some workers as processes of their own.

Everything lives under one directory (state, logs, configuration); ports are free ones of the
loopback; processes are ended by their process id and die with the thread that started them, so
start a cluster from the main thread. Time-outs are seconds.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from curvine.config.load import load
from curvine.config.schema import ClusterConf

START_TIMEOUT = 120.0  # against hanging: machines can be busy
MASTER_READY = "curvine-master ready"
WORKER_READY = "worker register success"
CLUSTER_ID = "mini"

# Run a process's main(); the kernel kills it when the thread that started it is gone.
_STUB = (
    "import ctypes, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
    "from {module} import main; sys.exit(main())"
)


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on at this moment, below those that the
    kernel gives to outgoing connections: a server that is killed gets the same one back."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(max(1024, lowest // 2), lowest)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """One server process with its configuration file and its log."""

    def __init__(self, name: str, module: str, conf: Path, log: Path, ready: str) -> None:
        self.name = name
        self.conf = conf
        self.log = log
        self._module = module
        self._ready = ready
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; an error when it does not run."""
        if self._child is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._child.pid

    @property
    def cpu_seconds(self) -> float:
        """What the process has computed so far: the same on a busy machine."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start the process and wait until it says that it serves."""
        seen = self.log.stat().st_size if self.log.exists() else 0
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("CURVINE_", "ORPC_"))}
        with self.log.open("ab") as sink:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _STUB.format(module=self._module),
                    "--conf",
                    str(self.conf),
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**environ, "PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + timeout
        while self._ready not in self.output(seen):
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not start:\n{self.output(seen)[-4000:]}")
            time.sleep(0.02)

    def output(self, since: int = 0) -> str:
        """What the process has printed, from byte ``since`` of its log."""
        return self.log.read_bytes()[since:].decode("utf-8", "replace")

    def stop(self, timeout: float = 10.0) -> int:
        """Ask the process to end (SIGTERM), kill it when it does not; the exit code."""
        child = self._child
        if child is None:
            return 0
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
        self._child = None
        return child.wait()

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def pause(self) -> None:
        """Stop the process without ending it (SIGSTOP); ``resume`` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused process."""
        os.kill(self.pid, signal.SIGCONT)


class MiniCluster:
    """A master and ``workers`` workers under ``root``.

    ``settings`` adds or replaces configuration keys by section, for example
    ``{"client": {"replicas": 2}}``. ``data_dirs`` are worker data directories as the configuration
    writes them, relative to each worker's own directory ("[MEM:1GB]mem"). ``hostnames`` names the
    workers; by default each is the loopback address, which peers dial.
    """

    def __init__(
        self,
        root: Path,
        *,
        workers: int = 1,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        data_dirs: Sequence[str] = ("[SSD]data",),
        hostnames: Sequence[str] = (),
    ) -> None:
        self.root = root
        self.settings = {name: dict(keys) for name, keys in (settings or {}).items()}
        root.mkdir(parents=True, exist_ok=True)
        self.master_port = free_port()
        self.worker_ports = [free_port() for _ in range(workers)]
        self.conf_path = self._write("cluster.toml", {})
        self.master = self._process("master", self.conf_path, MASTER_READY)
        self.workers: list[Process] = []
        for index, port in enumerate(self.worker_ports):
            home = root / f"worker-{index}"
            home.mkdir(exist_ok=True)
            worker = {
                "hostname": hostnames[index] if index < len(hostnames) else "127.0.0.1",
                "rpc_port": port,
                "web_port": free_port(),
                "data_dir": [_absolute(entry, home) for entry in data_dirs],
            }
            conf = self._write(f"worker-{index}.toml", {"worker": worker})
            self.workers.append(self._process("worker", conf, WORKER_READY, f"worker-{index}"))

    @property
    def master_address(self) -> tuple[str, int]:
        """Host and RPC port of the master."""
        return ("127.0.0.1", self.master_port)

    def conf(self, **client: object) -> ClusterConf:
        """The client's configuration as our loader reads it, with ``[client]`` keys replaced."""
        overrides = {f"client.{name}": value for name, value in client.items()}
        return load(str(self.conf_path), env={}, overrides=overrides).conf

    def start(self) -> MiniCluster:
        """Start everything and wait until every worker is registered."""
        try:
            self.master.start()
            for worker in self.workers:
                worker.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process that runs."""
        for process in (*self.workers, self.master):
            process.stop()

    def logs(self) -> str:
        """What all processes have printed, for a failure's report."""
        parts = [
            f"--- {p.name}\n{p.output()[-6000:]}"
            for p in (self.master, *self.workers)
            if p.log.exists()
        ]
        return "\n".join(parts)

    def __enter__(self) -> MiniCluster:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _process(self, role: str, conf: Path, ready: str, name: str = "") -> Process:
        name = name or role
        return Process(name, f"curvine.{role}.run", conf, self.root / f"{name}.log", ready)

    def _write(self, name: str, extra: Mapping[str, Mapping[str, object]]) -> Path:
        """Write a configuration file: our sections, then the caller's, then ``extra``."""
        sections: dict[str, dict[str, object]] = {
            "master": {
                "hostname": "127.0.0.1",
                "rpc_port": self.master_port,
                "web_port": free_port(),
                "meta_dir": str(self.root / "meta"),
                "heartbeat_interval": "500ms",
            },
            "journal": {
                "hostname": "127.0.0.1",
                "journal_dir": str(self.root / "journal"),
            },
            "worker": {},
            "client": {
                "master_addrs": [{"hostname": "127.0.0.1", "port": self.master_port}],
                "hostname": "127.0.0.1",
                "rpc_retry_max_duration_ms": 10_000,
                "conn_timeout_ms": 3_000,
            },
        }
        for source in (self.settings, extra):
            for section, keys in source.items():
                sections.setdefault(section, {}).update(keys)
        lines = ["format_master = false", "format_worker = false", f'cluster_id = "{CLUSTER_ID}"']
        for section, keys in sections.items():
            if keys:
                lines.append(f"\n[{section}]")
                lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
        path = self.root / name
        path.write_text("\n".join(lines) + "\n")
        return path


def _absolute(entry: str, home: Path) -> str:
    """A data directory entry with its path made absolute below ``home``."""
    prefix, bracket, path = entry.rpartition("]")
    return f"{prefix}{bracket}{home / path}"


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
