# SPDX-License-Identifier: Apache-2.0
"""Command line of ``curvine-fuse``: each flag is one key of the configuration.

Source: data-plane specification 6.4, Fluid contract 9. A flag of yes-or-no kind may stand alone or
with a value; ``--client.KEY VALUE`` and ``--fuse.KEY VALUE`` set any key of those sections.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from curvine.errors import ConfigError

COMMANDS = ("mount", "validate-config", "list-config-flags")


class Flag(NamedTuple):
    """Its spellings and the dotted key that it sets."""

    names: tuple[str, ...]
    key: str
    yes_no: bool = False


FLAGS = (
    Flag(("--mnt-path",), "fuse.mnt_path"),
    Flag(("--fs-path",), "fuse.fs_path"),
    Flag(("--mnt-number",), "fuse.mnt_number"),
    Flag(("--master-addrs",), "client.master_addrs"),
    Flag(("-d", "--debug"), "fuse.debug", yes_no=True),
    Flag(("--io-threads",), "fuse.io_threads"),
    Flag(("--worker-threads",), "fuse.worker_threads"),
    Flag(("--tasks-per-mnt", "--mnt-per-task"), "fuse.tasks_per_mnt"),
    Flag(("--clone-fd",), "fuse.clone_fd", yes_no=True),
    Flag(("--fuse-channel-size",), "fuse.fuse_channel_size"),
    Flag(("--stream-channel-size",), "fuse.stream_channel_size"),
    Flag(("--direct-io",), "fuse.direct_io", yes_no=True),
    Flag(("--cache-readdir",), "fuse.cache_readdir", yes_no=True),
    Flag(("--entry-timeout-ms", "--entry-timeout"), "fuse.entry_timeout_ms"),
    Flag(("--attr-timeout-ms", "--attr-timeout"), "fuse.attr_timeout_ms"),
    Flag(("--negative-timeout-ms", "--negative-timeout"), "fuse.negative_timeout_ms"),
    Flag(("--max-background",), "fuse.max_background"),
    Flag(("--congestion-threshold",), "fuse.congestion_threshold"),
    Flag(("--node-cache-timeout",), "fuse.node_cache_timeout"),
    Flag(("--web-port",), "fuse.web_port"),
    Flag(("--readonly",), "fuse.readonly", yes_no=True),
    Flag(("--read-dir-fill-ino",), "fuse.read_dir_fill_ino", yes_no=True),
    Flag(("--write-back-cache",), "fuse.write_back_cache", yes_no=True),
    Flag(("--non-seekable",), "fuse.non_seekable", yes_no=True),
    Flag(("--check-permission",), "fuse.check_permission", yes_no=True),
    Flag(("--metrics-enabled",), "fuse.metrics_enabled", yes_no=True),
    Flag(("--enable-meta-cache",), "fuse.enable_meta_cache", yes_no=True),
    Flag(("--meta-cache-ttl", "--meta-cache-timeout"), "fuse.meta_cache_timeout"),
    Flag(("--remember",), "fuse.remember", yes_no=True),
    Flag(("--list-limit",), "fuse.list_limit"),
)


class Arguments(NamedTuple):
    """What the command line said."""

    command: str
    conf: str | None
    overrides: dict[str, object]  # dotted key -> text
    options: tuple[str, ...]  # words of -o
    version_json: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see curvine-fuse --help")


def _parser(version: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="curvine-fuse",
        description="Mount a Curvine file system.",
        allow_abbrev=False,
        epilog="--client.KEY VALUE and --fuse.KEY VALUE set any key of those sections.",
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="mount")
    parser.add_argument("-c", "--conf", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument(
        "-o", "--options", action="append", default=[], metavar="WORDS", help="mount options"
    )
    parser.add_argument("--version-json", action="store_true", help="print the version as JSON")
    parser.add_argument("-V", "--version", action="version", version=version)
    for flag in FLAGS:
        parser.add_argument(
            *flag.names,
            dest=flag.key,
            metavar="VALUE",
            help=f"key {flag.key}",
            nargs="?" if flag.yes_no else None,
            const="true" if flag.yes_no else None,
        )
    return parser


def _dotted(argv: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """``--client.x=v`` and ``--client.x v`` as {key: text}, and the other words."""
    overrides: dict[str, object] = {}
    others: list[str] = []
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if not name.startswith(("--client.", "--fuse.")):
            others.append(word)
            continue
        if not equals:
            try:
                value = next(words)
            except StopIteration:
                raise ConfigError(f"{name} needs a value") from None
        overrides[name[2:].replace("-", "_")] = value
    return overrides, others


def parse_flags(argv: Sequence[str], version: str) -> Arguments:
    """ConfigError for what is not understood; --help and --version exit by themselves."""
    overrides, others = _dotted(argv)  # first: their values would be taken for the command
    known, rest = _parser(version).parse_known_args(others)
    if rest:
        raise ConfigError(f"unknown flag {rest[0]}; see curvine-fuse --help")
    values = vars(known)
    overrides |= {f.key: values[f.key] for f in FLAGS if values[f.key] is not None}
    return Arguments(known.command, known.conf, overrides, tuple(known.options), known.version_json)
