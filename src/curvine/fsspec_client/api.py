# SPDX-License-Identifier: Apache-2.0
"""``curvine.connect()`` and ``curvine.open()``: the cluster for scripts, without fsspec's habits.

Paths are /data/f or cv:///data/f. Bytes in, bytes out; sizes and offsets are bytes, times ms. What
goes wrong is a class of :mod:`curvine.errors`, which is Python's own as well where there is one
(FileNotFoundError, FileExistsError ...). See docs/python.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

from fsspec.asyn import sync

from curvine.client.connect import Masters
from curvine.errors import AlreadyExists, InvalidArgument, NotFound
from curvine.fsspec_client.filesystem import CurvineFileSystem
from curvine.fsspec_client.source import Source
from curvine.fsspec_client.urls import masters_of, path_of, wire_path
from curvine.model.inode import FileStatus, RenameFlag

Statuses = list[FileStatus]  # inside the class the name "list" is a method
Writable = bytes | bytearray | memoryview | str
_TEXT = ("encoding", "errors", "newline")
_MODES = ("rb", "wb", "xb", "ab", "r", "w", "x", "a")


class Client:
    """A connected cluster. Used by many threads at once; pickles; child processes connect anew."""

    def __init__(
        self,
        master_addrs: Masters | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        self.fs = CurvineFileSystem(master_addrs, config_path, **options)
        self._arguments = (master_addrs, config_path, options)

    # --- what is there ---------------------------------------------------------------------------

    def stat(self, path: str) -> FileStatus:
        """One entry; a link at its end is followed. NotFound."""
        status: FileStatus = sync(self.fs.loop, self.fs.status, path_of(path))
        return status

    def exists(self, path: str) -> bool:
        """Whether there is such an entry."""
        return bool(self.fs.exists(path))

    def list(self, path: str = "/") -> Statuses:
        """The entries of a directory, sorted by name. NotADirectory for a file."""
        found: Statuses = sync(self.fs.loop, self._list, path_of(path))
        return found

    def walk(self, path: str = "/") -> Iterator[FileStatus]:
        """Every entry below ``path``, directories before what they hold."""
        pending = [path_of(path)]
        while pending:
            for entry in self.list(pending.pop()):
                yield entry
                if entry.is_dir:
                    pending.append(entry.path)

    # --- bytes -----------------------------------------------------------------------------------

    def open(self, path: str, mode: str = "rb", **options: Any) -> IO[Any]:
        """A file object: rb, wb, xb, ab; r, w, x, a for text (``encoding`` and so on)."""
        if mode not in _MODES:
            raise InvalidArgument(f"{path}: mode {mode!r}; files open as {', '.join(_MODES)}")
        file: IO[Any] = self.fs.open(path, mode, **options)
        return file

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        return self.fs.cat_file(path)

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; fewer only at the end of the file."""
        if offset < 0 or length < 0:
            raise InvalidArgument("offset and length are 0 or more; `tail` reads the end")
        return self.fs.cat_file(path, offset, offset + length)

    def head(self, path: str, length: int = 1024) -> bytes:
        """The first ``length`` bytes."""
        return self.read_range(path, 0, length)

    def tail(self, path: str, length: int = 1024) -> bytes:
        """The last ``length`` bytes."""
        if length < 0:
            raise InvalidArgument("length is 0 or more")
        return self.fs.cat_file(path, -length) if length else b""

    def memory_map(self, path: str) -> memoryview:
        """The whole file without a copy where its block lies on this node: the pages of the
        worker's file. Elsewhere bytes that are read now."""
        source = Source(lambda: self.fs.open_reader(path_of(path)))
        try:
            return source.view(0, source.length)
        finally:
            source.close()

    def write(self, path: str, data: Writable, *, overwrite: bool = True) -> None:
        """Make a file of ``data`` and missing directories above it. Text is written as UTF-8.

        AlreadyExists, where ``overwrite`` is False.
        """
        content = data.encode() if isinstance(data, str) else data
        sync(self.fs.loop, self.fs.put_bytes, path_of(path), content, exclusive=not overwrite)

    def append(self, path: str, data: Writable) -> None:
        """Write ``data`` at the end of a file, which is made if it is not there."""
        with self.fs.open(path, "ab") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    # --- names -----------------------------------------------------------------------------------

    def mkdir(self, path: str, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory. AlreadyExists; NotFound for a missing parent without ``parents``."""
        if exist_ok and parents:
            self.fs.makedirs(path, exist_ok=True)
            return
        try:
            self.fs.mkdir(path, create_parents=parents)
        except AlreadyExists:
            if not exist_ok or not self.stat(path).is_dir:
                raise

    def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove an entry. DirectoryNotEmpty without ``recursive``; NotFound."""
        try:
            sync(self.fs.loop, self._remove, wire_path(path_of(path)), recursive)
        except NotFound:
            if not missing_ok:
                raise

    def rename(self, src: str, dst: str, *, replace: bool = True) -> None:
        """Move an entry to exactly ``dst``, in one step, replacing a file there if ``replace``."""
        flags = RenameFlag.NONE if replace else RenameFlag.NO_REPLACE
        sync(self.fs.loop, self.fs.rename_entry, path_of(src), path_of(dst), flags)

    def copy(self, src: str, dst: str) -> None:
        """Copy one file inside the cluster."""
        self.fs.cp_file(src, dst)

    def upload(self, local: str | os.PathLike[str], path: str) -> None:
        """Copy a local file or tree to ``path``; many small files side by side."""
        self.fs.put(os.fspath(local), path, recursive=os.path.isdir(local))

    def download(self, path: str, local: str | os.PathLike[str]) -> None:
        """Copy a file or tree to this machine; an interrupted copy never looks whole."""
        self.fs.get(path, os.fspath(local), recursive=self.stat(path).is_dir)

    # --- the rest --------------------------------------------------------------------------------

    def arrow(self) -> Any:
        """A pyarrow.fs.FileSystem of the cluster; local files are read without a copy."""
        from curvine.fsspec_client.arrow import arrow_filesystem

        return arrow_filesystem(self.fs)

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self.fs.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        masters, conf, options = self._arguments
        return _again, (masters, conf, options)

    async def _list(self, path: str) -> Statuses:
        return await (await self.fs.unified()).list(wire_path(path))

    async def _remove(self, place: str, recursive: bool) -> None:
        await (await self.fs.unified()).delete(place, recursive)


def _again(masters: Masters | None, conf: Any, options: dict[str, Any]) -> Client:
    return Client(masters, conf, **options)


def connect(
    master_addrs: Masters | None = None,
    config_path: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Client:
    """A client of a cluster that answers. NoMaster after 5 s, ConfigError.

    ``master_addrs``: "host:port,host:port" or a list. ``config_path``: a curvine-cluster.toml. With
    neither: CURVINE_CONF_FILE, $CURVINE_HOME/conf, the cluster of `cv up`. ``options``: keys of the
    [client] section (``replicas=2``) or of others by their whole name.
    """
    client = Client(master_addrs, config_path, **options)
    sync(client.fs.loop, client.fs.unified)
    return client


def open_file(url: str, mode: str = "rb", **options: Any) -> IO[Any]:
    """Open ``cv:///path``, ``cv://HOST:PORT/path`` or a path; ``options`` as of :func:`connect`,
    and ``encoding``, ``errors``, ``newline`` for text."""
    text = {
        name: options.pop(name) for name in ("encoding", "errors", "newline") if name in options
    }
    masters = masters_of(url)
    if masters:
        options["master_addrs"] = masters
    return Client(**options).open(url, mode, **text)
