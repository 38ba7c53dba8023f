# SPDX-License-Identifier: Apache-2.0
"""The ``curvine-s3-gateway`` process: configuration in, a serving gateway, SIGTERM ends it cleanly.

Prints ``curvine-s3-gateway ready http=HOST:PORT`` once it listens. With ``processes`` above one,
that many share the port (SO_REUSEPORT); one that dies is started again. ``credential ...`` commands
are in :mod:`curvine.s3.credential_commands`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import uvloop

from curvine import ANNOUNCED_VERSION
from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.clock import SystemClock
from curvine.config.load import LoadedConf, find_conf, load
from curvine.errors import ConfigError, CurvineError
from curvine.httpd.streaming import listen_shared
from curvine.s3 import chores, credential_commands
from curvine.s3.credential_commands import credential_file, key_file
from curvine.s3.credentials import Credentials
from curvine.s3.gateway import S3Gateway
from curvine.telemetry import logs

_log = logging.getLogger(__name__)
SERVING = "curvine-s3-gateway ready"


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        loaded = _configuration(arguments)
        if arguments.command == "credential":
            return credential_commands.run(loaded, arguments)
        if loaded.conf.s3_gateway.processes > 1 and not arguments.siblings:
            return _supervise(loaded, list(sys.argv[1:] if argv is None else argv))
        return uvloop.run(_serve(loaded, siblings=arguments.siblings))
    except CurvineError as error:
        print(f"ERROR: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="curvine-s3-gateway", description="The S3 door")
    parser.add_argument("--conf", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="address (s3_gateway.listen)")
    parser.add_argument("--region", help="region named in signatures (s3_gateway.region)")
    parser.add_argument("--siblings", default="", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=ANNOUNCED_VERSION)
    credential_commands.add_to(parser.add_subparsers(dest="command"))
    return parser


def _configuration(arguments: argparse.Namespace) -> LoadedConf:
    overrides: dict[str, object] = {}
    if arguments.listen:
        overrides["s3_gateway.listen"] = arguments.listen
    if arguments.region:
        overrides["s3_gateway.region"] = arguments.region
    return load(find_conf(arguments.conf, os.environ), env=os.environ, overrides=overrides)


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of ``s3_gateway.listen``. ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"s3_gateway.listen is {text!r}; it has to be HOST:PORT")
    host = host.strip("[]") or "0.0.0.0"
    return ("127.0.0.1" if host == "localhost" else host), int(port)


async def _serve(loaded: LoadedConf, *, siblings: str) -> int:
    conf = loaded.conf
    logs.setup_from(conf.log, "curvine-s3-gateway.log")
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    host, port = listen_address(conf.s3_gateway.listen)
    clock = SystemClock()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sock = listen_shared(host, port, shared=bool(siblings))
    async with ClusterClient(conf, component="s3-gateway") as cluster:
        cluster.streams.kept_files.enabled = True
        fs = UnifiedFileSystem(cluster)
        file = credential_file(conf, fs)
        credentials = Credentials(file, key_file(conf), os.environ, clock)
        gateway = S3Gateway(conf.s3_gateway, fs, credentials, clock, siblings)
        cleaning = asyncio.create_task(chores.run(fs, clock, conf.s3_gateway.upload_expiry))
        try:
            address = await gateway.start(sock)
            gc.collect()
            gc.freeze()  # what start-up made stays; later collections need not look at it
            print(f"{SERVING} http={address[0]}:{address[1]}", flush=True)
            await stop.wait()
            _log.info("stopping")
        finally:
            cleaning.cancel()
            await asyncio.gather(cleaning, return_exceptions=True)
            await gateway.close()
            await fs.close()
    return 0


def _supervise(loaded: LoadedConf, argv: list[str]) -> int:
    """Several processes on one port; the first that cannot start ends all."""
    conf = loaded.conf.s3_gateway
    host, port = listen_address(conf.listen)
    held = listen_held(host, port)
    address = held.getsockname()
    directory = tempfile.mkdtemp(prefix="curvine-s3-")
    argv += ["--siblings", directory, "--listen", f"[{address[0]}]:{address[1]}"]
    command = [sys.executable, "-m", "curvine.s3.run", *argv]
    children = [subprocess.Popen(command) for _ in range(conf.processes)]
    stopping = False

    def stop(*_arguments: object) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    failures = 0
    while not stopping:
        pid, status = os.wait()
        index = next((i for i, child in enumerate(children) if child.pid == pid), -1)
        if index < 0 or stopping:
            continue
        children[index].returncode = status
        failures = failures + 1 if os.waitstatus_to_exitcode(status) == 1 else 0
        if failures >= conf.processes:
            stop()
            break
        children[index] = subprocess.Popen(command)
    for child in children:
        child.wait()
    held.close()
    shutil.rmtree(directory, ignore_errors=True)
    return 0 if failures < conf.processes else 1


def listen_held(host: str, port: int) -> socket.socket:
    """The port, bound and not listened on: nobody else takes it while our processes use it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return sock


if __name__ == "__main__":
    sys.exit(main())
