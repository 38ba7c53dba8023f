# SPDX-License-Identifier: Apache-2.0
"""The processes that share one port: whichever is scraped answers for all.

Each tells its metrics to whoever connects to its socket in a private directory, PID.sock. Counters,
buckets and gauges are added up; a process that does not answer in time is left out, and one that
was started again begins at zero, as Prometheus expects of counters. Times are seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

_PATIENCE = 1.0
_MAX = 4 * 1024 * 1024


class Siblings:
    """One process among its siblings in ``directory``; ``text`` makes its own metrics."""

    def __init__(self, directory: str, text: Callable[[], str]) -> None:
        self._directory = Path(directory)
        self._own = self._directory / f"{os.getpid()}.sock"
        self._text = text
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer siblings."""
        self._server = await asyncio.start_unix_server(self._answer, self._own)

    async def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(OSError):
            self._own.unlink()

    async def metrics(self) -> str:
        """The metrics of all."""
        others = [path for path in self._directory.glob("*.sock") if path != self._own]
        texts = await asyncio.gather(*map(_ask, others))
        return merged([self._text(), *texts])

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(self._text().encode())
            await writer.drain()
        writer.close()


async def _ask(path: Path) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MAX)
            try:
                return (await reader.read(_MAX)).decode()
            finally:
                writer.close()
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):
            path.unlink()  # of a process that was killed
        return ""
    except (OSError, TimeoutError):
        return ""


def merged(texts: Iterable[str]) -> str:
    """Exposition texts of one table with their samples added up, family by family."""
    families: dict[str, tuple[list[str], dict[str, float]]] = {}
    for text in texts:
        comments: list[str] = []
        samples: dict[str, float] = {}
        for line in text.splitlines():
            if line.startswith("#"):
                name = line.split()[2]
                comments, samples = families.setdefault(name, ([], {}))
                if line not in comments:
                    comments.append(line)
            elif line:
                series, _, value = line.rpartition(" ")
                samples[series] = samples.get(series, 0.0) + float(value)
    lines: list[str] = []
    for comments, samples in families.values():
        lines += comments
        lines += [f"{series} {value:.17g}" for series, value in samples.items()]
    return "\n".join(lines) + "\n"
