# SPDX-License-Identifier: Apache-2.0
"""``cv bench`` and ``cv bench prefill``: the command line (data-plane specification 10.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from curvine.cli.bench.runner import Runner, make_set, set_place
from curvine.cli.bench.target import ClusterTarget, DirectoryTarget, Target
from curvine.cli.bench.workload import METADATA, THROUGHPUT, Plan, Result, parse_workload
from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_table
from curvine.cli.paths import cluster_path
from curvine.cli.progress import Meter
from curvine.errors import InvalidArgument
from curvine.units import parse_duration, parse_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

T = TypeVar("T")
_PATH = "cv://default/__curvine_bench__"
_BASIC = (*THROUGHPUT, "get_status")
_DEEP_BIG_FILES = 5


if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:
    _IntType = click.ParamType  # not subscriptable in older releases


class _Amount(_IntType):
    """A size (bytes) or a duration (ms) as people write it."""

    def __init__(self, name: str, parse: Callable[[str | int], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_SIZE = _Amount("size", parse_size)
_DURATION = _Amount("duration", parse_duration)
_path_option = click.option(
    "--path",
    default=_PATH,
    show_default=True,
    help="Where: a path of the cluster, or file:///DIR for a mount or any directory.",
)
_COUNT = click.IntRange(min=1)


@click.group(invoke_without_command=True)
@_path_option
@click.option(
    "--profile",
    type=click.Choice(["basic", "deep"]),
    default="basic",
    show_default=True,
    help="basic: throughput and stat; deep: five big files, all of metadata.",
)
@click.option(
    "--mode",
    type=click.Choice(["auto", "client", "fuse"]),
    default="auto",
    show_default=True,
    help="auto: fuse for file://, the client library for everything else.",
)
@click.option("-p", "--parallel", type=_COUNT, default=1, show_default=True)
@click.option(
    "--block-size",
    type=_SIZE,
    default="256KB",
    show_default=True,
    help="Bytes of one read or write.",
)
@click.option("--big-file-size", type=_SIZE, default="64MB", show_default=True)
@click.option("--big-file-count", type=_COUNT, help="Per worker (1, deep 5).")
@click.option("--small-file-size", type=_SIZE, default="128KB", show_default=True)
@click.option(
    "--small-file-count",
    type=_COUNT,
    default=100,
    show_default=True,
    help="Per worker; so many empty files for metadata.",
)
@click.option(
    "--workload",
    metavar="W",
    help="metadata, throughput, mixed_metadata, "
    "mixed_throughput or a mix of your own: OPERATION:WEIGHT,...",
)
@click.option("--duration", type=_DURATION, default="30s", show_default=True, help="Of a mix.")
@click.option("--total-size", type=_SIZE, help="End a mix after so many bytes instead.")
@click.option("--total-ops", type=_COUNT, help="End a mix after so many operations instead.")
@click.option("--working-set-files", type=_COUNT, default=1000, show_default=True)
@click.option("--files-per-dir", type=_COUNT, default=1000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As --output json.")
@click.option("--keep-data", is_flag=True, help="Leave what was written.")
@output_option
@pass_settings
@click.pass_context
def bench(
    ctx: click.Context,
    settings: Settings,
    /,
    path: str,
    profile: str,
    mode: str,
    parallel: int,
    block_size: int,
    big_file_size: int,
    big_file_count: int | None,
    small_file_size: int,
    small_file_count: int,
    workload: str | None,
    duration: int,
    total_size: int | None,
    total_ops: int | None,
    working_set_files: int,
    files_per_dir: int,
    as_json: bool,
    keep_data: bool,
    output: str,
) -> None:
    """Measure metadata operations and throughput."""
    if ctx.invoked_subcommand is not None:
        return
    deep = profile == "deep"
    phases: tuple[str, ...] = (*THROUGHPUT, *METADATA) if deep else _BASIC
    mix: dict[str, int] = {}
    if workload:
        phases, mix = parse_workload(workload)
    base, fuse = place_of(path, mode)
    plan = Plan(
        base=base, parallel=parallel, piece=block_size, big_size=big_file_size,
        big_count=big_file_count or (_DEEP_BIG_FILES if deep else 1),
        small_size=small_file_size, small_count=small_file_count, phases=phases, mix=mix,
        duration=duration / 1000, total_ops=total_ops, total_size=total_size,
        set_files=working_set_files, files_per_dir=files_per_dir, keep=keep_data,
    )  # fmt: skip

    async def use(target: Target) -> list[Result]:
        with Meter("operations") as meter:
            return await Runner(target, plan, meter).run()

    results = _with_target(settings, fuse, parallel, use)
    if as_json or output == "json":
        print_json({"path": path, "mode": "fuse" if fuse else "client", "profile": profile,
                    "workload": workload, "parallel": parallel, "block_size": block_size,
                    "results": results})  # fmt: skip
    else:
        _print(results)


@bench.command()
@_path_option
@click.option("--files", type=_COUNT, required=True, help="How many.")
@click.option("--file-size", type=_SIZE, default="0", show_default=True)
@click.option("--target-size", type=_SIZE, help="Bytes of all together, instead of --file-size.")
@click.option("--block-size", type=_SIZE, default="4MB", show_default=True)
@click.option("--files-per-dir", type=_COUNT, default=1000, show_default=True)
@click.option("--mode", type=click.Choice(["auto", "client", "fuse"]), default="auto")
@pass_settings
def prefill(
    settings: Settings,
    /,
    path: str,
    files: int,
    file_size: int,
    target_size: int | None,
    block_size: int,
    files_per_dir: int,
    mode: str,
) -> None:
    """Make a working set that later mixes use; `cv fs rm -r` removes it."""
    base, fuse = place_of(path, mode)
    size = file_size if target_size is None else target_size // files
    plan = Plan(base=base, set_files=files, files_per_dir=files_per_dir)

    async def use(target: Target) -> None:
        with Meter("files") as meter:
            piece = bytes(min(block_size, size) or 1)
            await make_set(target, set_place(base), plan, meter, size, piece)

    _with_target(settings, fuse, 64, use)
    click.echo(f"{files} files of {size} bytes in {set_place(base)}")


def place_of(path: str, mode: str) -> tuple[str, bool]:
    """(absolute path, whether it is a directory of this machine). InvalidArgument if neither."""
    local = path.startswith("file://")
    if mode == "client" and local:
        raise InvalidArgument(f"{path} is no path of the cluster, which --mode client measures")
    if mode == "fuse" or (mode == "auto" and local):
        directory = path.removeprefix("file://")
        if not directory.startswith("/"):
            raise InvalidArgument(f"{path} is no directory; write file:///mnt/curvine/bench")
        return directory, True
    return cluster_path(path), False


def _with_target(
    settings: Settings, fuse: bool, parallel: int, use: Callable[[Target], Awaitable[T]]
) -> T:
    """Call ``use`` with what is measured."""
    import uvloop

    if not fuse:

        async def with_cluster(fs: UnifiedFileSystem) -> T:
            return await use(ClusterTarget(fs))

        return run_with_fs(settings, with_cluster)

    async def with_directory() -> T:
        target = DirectoryTarget(parallel)
        try:
            return await use(target)
        finally:
            target.close()

    return uvloop.run(with_directory())


def _print(results: list[Result]) -> None:
    header = ("OPERATION", "OPS", "ERRORS", "OPS/S", "MiB/S", "MEAN ms", "P50 ms", "P99 ms")
    rows = [
        (r.operation, r.ops, r.errors, f"{r.ops_per_second:.1f}", f"{r.mib_per_second:.1f}",
         f"{r.mean_ms:.2f}", f"{r.p50_ms:.2f}", f"{r.p99_ms:.2f}")
        for r in results
    ]  # fmt: skip
    print_table(header, rows, right=",".join(header[1:]))
