# SPDX-License-Identifier: Apache-2.0
"""Running a plan: phases one after another, or a weighted mix for a time.

Every worker is a task that does one operation after another. Phases use files of their own, made
by the phases before them; what a phase needs and nobody made is made without being timed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable

from curvine.cli.bench.target import Target
from curvine.cli.bench.workload import Plan, Result, Samples
from curvine.cli.progress import Meter
from curvine.errors import CurvineError

_SEED = 20_240_229  # the same sequence of operations in every run
_SET = "working-set"


class Runner:
    """One run of one plan."""

    def __init__(self, target: Target, plan: Plan, meter: Meter) -> None:
        self._target = target
        self._plan = plan
        self._meter = meter
        self._home = f"{plan.base.rstrip('/')}/run-{os.getpid()}-{int(time.time())}"
        self._data = os.urandom(plan.piece)
        self._made: set[str] = set()

    async def run(self) -> list[Result]:
        """All results; what was written is removed unless the plan keeps it."""
        fresh = not await self._target.exists(self._plan.base)
        await self._target.mkdir(self._home)
        try:
            if self._plan.mix:
                return await Mix(self._target, self._plan, self._meter, self._home).run()
            for worker in range(self._plan.parallel):
                await self._target.mkdir(f"{self._home}/{worker}")
            return [await self._phase(name) for name in self._plan.phases]
        finally:
            if not self._plan.keep:
                await self._target.delete(self._plan.base if fresh else self._home)

    async def _phase(self, name: str) -> Result:
        await self._prepare(name)
        samples, count = Samples(), self._count(name)
        size = self._size(name)
        self._meter.begin(name, count * self._plan.parallel)
        began = time.perf_counter()

        async def worker(number: int) -> None:
            for index in range(count):
                before = time.perf_counter()
                await self._call(name, number, index)
                samples.add(time.perf_counter() - before, size)
                self._meter.advance(1)

        await asyncio.gather(*(worker(number) for number in range(self._plan.parallel)))
        return samples.result(name, time.perf_counter() - began)

    async def _prepare(self, name: str) -> None:
        """Make, untimed, what the phase needs and no phase has made."""
        needed = {
            "read_big": "write_big", "read_small": "write_small", "open": "create",
            "get_status": "create", "list_status": "create", "rename": "create",
            "delete": "create",
        }.get(name)  # fmt: skip
        if name in ("write_big", "write_small", "create"):
            self._made.add(name)
        if needed is not None and needed not in self._made:
            self._made.add(needed)
            for number in range(self._plan.parallel):
                for index in range(self._count(needed)):
                    await self._call(needed, number, index)

    def _count(self, name: str) -> int:
        return self._plan.big_count if name.endswith("_big") else self._plan.small_count

    def _size(self, name: str) -> int:
        kinds = {"_big": self._plan.big_size, "_small": self._plan.small_size}
        return next((size for end, size in kinds.items() if name.endswith(end)), 0)

    async def _call(self, name: str, number: int, index: int) -> None:
        target, plan = self._target, self._plan
        place = f"{self._home}/{number}"
        renamed = "n" if "rename" in self._made else "m"
        if name.startswith("write"):
            await target.write(f"{place}/{name[6]}{index}", self._size(name), self._data)
        elif name.startswith("read"):
            await target.read(f"{place}/{name[5]}{index}", self._size(name), plan.piece)
        elif name == "create":
            await target.create(f"{place}/m{index}")
        elif name == "open":
            await target.open(f"{place}/{renamed}{index}")
        elif name == "get_status":
            await target.stat(f"{place}/{renamed}{index}")
        elif name == "list_status":
            await target.list(place)
        elif name == "rename":
            await target.rename(f"{place}/m{index}", f"{place}/n{index}")
            if (number, index) == (plan.parallel - 1, plan.small_count - 1):
                self._made.add("rename")
        else:
            await target.delete(f"{place}/{renamed}{index}")


class Mix:
    """Operations picked by weight, on a working set of files that changes under them."""

    def __init__(self, target: Target, plan: Plan, meter: Meter, home: str) -> None:
        self._target = target
        self._plan = plan
        self._meter = meter
        self._home = home
        self._random = random.Random(_SEED)
        self._data = os.urandom(plan.piece)
        self._files: list[str] = []
        self._big: list[str] = []
        self._number = 0
        self._ops = 0
        self._bytes = 0

    async def run(self) -> list[Result]:
        """A result for each operation of the mix, and their sum."""
        plan = self._plan
        await self._prepare()
        samples = {name: Samples() for name in plan.mix}
        everything = Samples()
        names, weights = list(plan.mix), list(plan.mix.values())
        self._meter.begin("mix", plan.total_ops)
        began = time.perf_counter()

        async def worker() -> None:
            while not self._over(began):
                name = self._random.choices(names, weights)[0]
                self._ops += 1
                before = time.perf_counter()
                try:
                    size = await self._call(name)
                except (CurvineError, OSError):
                    samples[name].errors += 1
                    everything.errors += 1
                    continue
                took = time.perf_counter() - before
                samples[name].add(took, size)
                everything.add(took, size)
                self._bytes += size
                self._meter.advance(1)

        await asyncio.gather(*(worker() for _ in range(plan.parallel)))
        elapsed = time.perf_counter() - began
        results = [samples[name].result(name, elapsed) for name in names]
        return [*results, everything.result("total", elapsed)]

    def _over(self, began: float) -> bool:
        plan = self._plan
        if plan.total_ops is not None and self._ops >= plan.total_ops:
            return True
        if plan.total_size is not None and self._bytes >= plan.total_size:
            return True
        limited = plan.total_ops is not None or plan.total_size is not None
        return not limited and time.perf_counter() - began >= plan.duration

    async def _prepare(self) -> None:
        """The working set that `cv bench prefill` made, or one of our own; big files to read."""
        plan = self._plan
        shared = f"{plan.base.rstrip('/')}/{_SET}"
        if any(not name.endswith("_big") for name in plan.mix):
            if not await self._target.exists(shared):
                shared = f"{self._home}/{_SET}"
                await make_set(self._target, shared, plan, self._meter, 0, self._data)
            for directory in await self._target.list(shared):
                names = await self._target.list(f"{shared}/{directory}")
                self._files += [f"{shared}/{directory}/{name}" for name in names]
        if "read_big" in plan.mix:
            for index in range(plan.big_count):
                path = f"{self._home}/big-{index}"
                await self._target.write(path, plan.big_size, self._data)
                self._big.append(path)

    def _new(self) -> str:
        self._number += 1
        return f"{self._home}/x{self._number}"

    def _pick(self) -> str:
        return self._random.choice(self._files) if self._files else f"{self._home}/none-left"

    def _take(self) -> str:
        if not self._files:
            return f"{self._home}/none-left"
        place = self._random.randrange(len(self._files))
        self._files[place], self._files[-1] = self._files[-1], self._files[place]
        return self._files.pop()

    async def _call(self, name: str) -> int:
        """One operation; the bytes that it moved."""
        target, plan = self._target, self._plan
        if name == "read_big":
            await target.read(self._random.choice(self._big), plan.big_size, plan.piece)
            return plan.big_size
        if name == "write_big":
            await target.write(self._new(), plan.big_size, self._data)
            return plan.big_size
        if name == "create":
            path = self._new()
            await target.create(path)
            self._files.append(path)
        elif name == "rename":
            path = self._new()
            await target.rename(self._take(), path)
            self._files.append(path)
        elif name == "delete":
            await target.delete(self._take())
        elif name == "list_status":
            await target.list(self._pick().rpartition("/")[0])
        else:
            await (target.open if name == "open" else target.stat)(self._pick())
        return 0


async def make_set(
    target: Target, place: str, plan: Plan, meter: Meter, file_size: int, piece: bytes
) -> None:
    """A working set: ``plan.set_files`` files in directories of ``plan.files_per_dir``."""
    meter.begin("prefill", plan.set_files)
    for start in range(0, plan.set_files, plan.files_per_dir):
        directory = f"{place}/d{start // plan.files_per_dir:06d}"
        await target.mkdir(directory)
        numbers = range(start, min(start + plan.files_per_dir, plan.set_files))
        works = [_filler(target, f"{directory}/f{n:09d}", file_size, piece) for n in numbers]
        for first in range(0, len(works), 64):
            batch = works[first : first + 64]
            await asyncio.gather(*(work() for work in batch))
            meter.advance(len(batch))


def _filler(target: Target, path: str, size: int, piece: bytes) -> Callable[[], Awaitable[None]]:
    return lambda: target.write(path, size, piece) if size else target.create(path)


def set_place(base: str) -> str:
    """Where the working set of `cv bench prefill` lies."""
    return f"{base.rstrip('/')}/{_SET}"
