# SPDX-License-Identifier: Apache-2.0
"""``curvine-fuse``: read flags and configuration, then become the supervisor.

This process imports what it likes; ``exec`` replaces it by the bare supervisor with a plan in a
memfd, so that PID, standard output and signals stay as they are (Fluid contract 10.1). A wrong
configuration is one ``ERROR:`` line and exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

import msgspec

from curvine import ANNOUNCED_VERSION, CURVINE_RELEASE, __version__
from curvine.config.load import LoadedConf, find_conf, load
from curvine.errors import ConfigError, CurvineError
from curvine.fuse.flags import FLAGS, Arguments, parse_flags
from curvine.fuse.launch import MountPlan, Plan, put_document
from curvine.fuse.mount import MS_RDONLY, Options, parse_options

_SERVER = ("-m", "curvine.fuse.server")


def source_name(env: Mapping[str, str]) -> str:
    """Source and subtype of the mount: what Fluid's checks look for (contract 3.4)."""
    runtime = env.get("FLUID_RUNTIME_TYPE", "").lower()
    if runtime == "thin":
        return "curvinefs-thin"
    if runtime or env.get("FLUID_RUNTIME_COMPONENT_TYPE"):
        return "curvinefs-cache"
    return "curvinefs"


def read_conf(arguments: Arguments, env: Mapping[str, str]) -> tuple[LoadedConf, Options]:
    """The effective configuration, flags included, and the mount options."""
    path = find_conf(arguments.conf, env)
    if path is None and "client.master_addrs" not in arguments.overrides:
        raise ConfigError(
            "no configuration found: give --conf FILE, CURVINE_CONF_FILE or --master-addrs"
        )
    loaded = load(path, env=env, overrides=arguments.overrides)
    fuse = loaded.conf.fuse
    options = parse_options(
        (*fuse.fuse_opts, *arguments.options),
        read_only=fuse.readonly,
        check_permission=fuse.check_permission,
    )
    fs_path = fuse.fs_path
    fuse = msgspec.structs.replace(
        fuse,
        readonly=bool(options.flags & MS_RDONLY),
        fs_path=f"/{fs_path.strip('/')}" if fs_path else fs_path,
    )
    conf = msgspec.structs.replace(loaded.conf, fuse=fuse)
    return msgspec.structs.replace(loaded, conf=conf), options


def make_plan(
    loaded: LoadedConf, options: Options, env: Mapping[str, str], server: Sequence[str]
) -> tuple[Plan, list[str]]:
    """What the supervisor gets, and warnings."""
    fuse = loaded.conf.fuse
    warnings = list(loaded.warnings)
    source = source_name(env)
    fluid = source != "curvinefs"
    number = fuse.mnt_number
    if fluid and number > 1:
        warnings.append(f"mnt-number {number} is taken as 1: Fluid expects exactly one mount")
        number = 1
    mount = MountPlan(
        target=fuse.mnt_path,
        fstype=source,
        source=options.fsname or source,
        flags=options.flags,
        data=options.data,
        number=number,
        stack=fluid or options.nonempty,
    )
    return Plan(mount, tuple(server), msgspec.to_builtins(loaded.conf)), warnings


def _announce(loaded: LoadedConf, warnings: Sequence[str]) -> None:
    fuse = loaded.conf.fuse
    masters = ",".join(f"{host}:{port}" for host, port in loaded.conf.client_master_addrs())
    print(
        f"curvine-fuse {ANNOUNCED_VERSION}: conf={loaded.path or 'none'} mnt_path={fuse.mnt_path} "
        f"fs_path={fuse.fs_path or '-'} masters={masters or '-'} "
        f"{'read-only' if fuse.readonly else 'read-write'}",
        file=sys.stderr,
        flush=True,
    )
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr, flush=True)


def _mount(arguments: Arguments, words: Sequence[str]) -> int:
    os.environ["CURVINE_FUSE_FLAGS"] = json.dumps(list(words))  # for reading it all again (reload)
    loaded, options = read_conf(arguments, os.environ)
    plan, warnings = make_plan(loaded, options, os.environ, (sys.executable, *_SERVER))
    _announce(loaded, warnings)
    document = put_document(plan, "curvine-plan")
    os.set_inheritable(document, True)
    supervisor = ("-m", "curvine.fuse.supervisor", "--plan-fd", str(document))
    os.execv(sys.executable, [sys.executable, *supervisor])


def _version_json() -> str:
    return json.dumps(
        {"name": "curvine-fuse", "version": __version__, "curvine": CURVINE_RELEASE,
         "announced": ANNOUNCED_VERSION}
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    try:
        words = sys.argv[1:] if argv is None else argv
        arguments = parse_flags(words, ANNOUNCED_VERSION)
        if arguments.version_json:
            print(_version_json())
            return 0
        if arguments.command == "list-config-flags":
            for flag in FLAGS:
                print(f"{', '.join(flag.names):<48} {flag.key}")
            return 0
        if arguments.command == "validate-config":
            loaded, options = read_conf(arguments, os.environ)
            _, warnings = make_plan(loaded, options, os.environ, _SERVER)
            for warning in warnings:
                print(f"WARNING: {warning}", file=sys.stderr)
            print(f"configuration is valid: {loaded.path or 'from flags'}")
            return 0
        return _mount(arguments, words)
    except CurvineError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
