# SPDX-License-Identifier: Apache-2.0
"""Files of the cluster as a data set for training: map-style and iterable, with read-ahead.

Neither needs torch. The one has ``__len__``, ``__getitem__`` and ``__getitems__`` (a batch is read
at once), which is all that PyTorch's DataLoader asks of a map-style set; the other is iterated,
each worker process its share. They hold names only, so they pickle small, and a worker process,
forked or spawned, connects on its first read.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar, cast

from curvine.client.blocking import LoopThread
from curvine.errors import InvalidArgument
from curvine.fsspec_client.filesystem import CurvineFileSystem
from curvine.fsspec_client.urls import masters_of, path_of

T = TypeVar("T")
Decode = Callable[[str, bytes], T]
_TOGETHER = 64  # files of a batch that are read at once


class FileDataset(Generic[T]):
    """The files below ``url`` whose names match ``pattern``, in the order of their paths.

    ``decode(path, data)`` makes a sample; without it a sample is (path, bytes). ``paths`` names the
    files instead of a listing. ``fs`` serves them, or a file system of
    ``options``, which are those of CurvineFileSystem.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        pattern: str = "*",
        paths: Iterable[str] | None = None,
        decode: Decode[T] | None = None,
        fs: CurvineFileSystem | None = None,
        **options: Any,
    ) -> None:
        if (url is None) == (paths is None):
            raise InvalidArgument("give either a URL to list or paths")
        masters = masters_of(url) if url else None
        if masters and fs is None:
            options["master_addrs"] = masters
        self.fs = fs if fs is not None else CurvineFileSystem(**options)
        self._decode = decode
        if paths is not None:
            self.paths: Sequence[str] = [path_of(path) for path in paths]
        else:
            found = self.fs.find(url)
            self.paths = [p for p in found if fnmatchcase(p.rpartition("/")[2], pattern)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> T:
        path = self.paths[index]
        return self._sample(path, self.fs.cat_file(path))

    def __getitems__(self, indices: Sequence[int]) -> list[T]:
        """The samples of a batch, their files read side by side."""
        return list(self.reading([self.paths[index] for index in indices], _TOGETHER))

    def reading(self, paths: Iterable[str], ahead: int) -> Iterator[T]:
        """The samples of ``paths`` in order, with ``ahead`` files under way."""
        thread = LoopThread.of_this_process()
        waiting: deque[tuple[str, Future[bytes]]] = deque()
        names = iter(paths)
        try:
            while True:
                while len(waiting) < ahead and (path := next(names, None)) is not None:
                    waiting.append((path, thread.submit(self.fs._cat_file(path))))
                if not waiting:
                    return
                path, data = waiting.popleft()
                yield self._sample(path, data.result())
        finally:
            for _, data in waiting:
                data.cancel()

    def _sample(self, path: str, data: bytes) -> T:
        return self._decode(path, data) if self._decode else cast(T, (path, data))


class StreamDataset(Generic[T]):
    """The files of a :class:`FileDataset` as a stream, ``prefetch`` of them read ahead.

    ``share(rank, world)`` is the part of one of several processes. In a DataLoader each worker
    takes its part by itself; a DataLoader has to be given ``torch()``, because it knows streams by
    their class.
    """

    def __init__(self, files: FileDataset[T], *, prefetch: int = 16) -> None:
        self.files = files
        self.prefetch = max(1, prefetch)
        self._rank, self._world = 0, 1

    def share(self, rank: int, world: int) -> StreamDataset[T]:
        """Every ``world``-th file from number ``rank`` on, for distributed training."""
        if not 0 <= rank < world:
            raise InvalidArgument(f"rank {rank} is not one of {world} processes")
        part = StreamDataset(self.files, prefetch=self.prefetch)
        part._rank, part._world = rank, world
        return part

    def torch(self) -> Any:
        """The stream as a torch.utils.data.IterableDataset."""
        from curvine.fsspec_client.torch_stream import TorchStream

        return TorchStream(self)

    def __iter__(self) -> Iterator[T]:
        worker, workers = _worker()
        mine = self.files.paths[self._rank :: self._world]
        return self.files.reading(mine[worker::workers], self.prefetch)


def _worker() -> tuple[int, int]:
    """This process's number among the DataLoader's workers, and how many there are."""
    torch = sys.modules.get("torch.utils.data")
    info = torch.get_worker_info() if torch is not None else None
    return (info.id, info.num_workers) if info is not None else (0, 1)
