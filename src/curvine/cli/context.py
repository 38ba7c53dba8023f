# SPDX-License-Identifier: Apache-2.0
"""What commands share: finding the configuration and talking to the cluster.

Interactive commands give up on a dead master after :data:`PATIENCE_MS` (decision 29). This module
imports nothing that ``cv --help`` does not need.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from curvine.errors import ConfigError, NoMaster

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem
    from curvine.config.load import LoadedConf
    from curvine.config.schema import ClusterConf

PATIENCE_MS = 5000
T = TypeVar("T")
P = ParamSpec("P")


class Settings:
    """The options in front of the command's name (the first two also behind it)."""

    def __init__(self, conf: str | None = None, master_addrs: str | None = None) -> None:
        self.conf = conf
        self.master_addrs = master_addrs
        self.cache_only = False  # `cv fs --cache-only`: under storages are not looked at
        self._cluster: ClusterConf | None = None

    @classmethod
    def of(cls, conf: ClusterConf) -> Settings:
        """Settings whose effective configuration is ``conf``."""
        settings = cls()
        settings._cluster = conf
        return settings

    def loaded(self) -> LoadedConf:
        """The effective configuration with its origins; ConfigError when there is none."""
        from curvine.config.load import find_conf, load

        overrides: dict[str, object] = {
            "client.rpc_retry_max_duration_ms": PATIENCE_MS,
            "client.conn_timeout_ms": PATIENCE_MS,
        }
        if self.master_addrs:
            overrides["client.master_addrs"] = self.master_addrs
        if self.cache_only:
            overrides["client.enable_unified_fs"] = False
        path = find_conf(self.conf, os.environ)
        if path is None and not self.master_addrs:
            raise ConfigError(
                "no cluster is configured: give --conf FILE or --master-addrs HOST:PORT, set "
                "CURVINE_CONF_FILE, or start a cluster on this machine with `cv up --detach`"
            )
        return load(path, env=os.environ, overrides=overrides)

    def cluster(self) -> ClusterConf:
        """The effective configuration; its warnings go to stderr, once."""
        if self._cluster is None:
            loaded = self.loaded()
            for warning in loaded.warnings:
                click.echo(f"warning: {warning}", err=True)
            self._cluster = loaded.conf
        return self._cluster


def run_with_fs(settings: Settings, use: Callable[[UnifiedFileSystem], Awaitable[T]]) -> T:
    """Connect, call ``use`` with the file system, disconnect."""
    import logging

    import uvloop

    from curvine.client.cluster import ClusterClient
    from curvine.client.unified import UnifiedFileSystem

    conf = settings.cluster()
    logging.getLogger("curvine").addHandler(logging.NullHandler())  # a command prints, not logs

    async def session() -> T:
        async with ClusterClient(conf, component="cli") as cluster:
            fs = UnifiedFileSystem(cluster)
            try:
                return await use(fs)
            finally:
                await fs.close()

    try:
        return uvloop.run(session())
    except NoMaster as error:
        masters = ", ".join(f"{host}:{port}" for host, port in conf.client_master_addrs())
        raise NoMaster(
            f"no master answers at {masters} ({error}). Is it running? "
            "`cv status` tells about a cluster of `cv up`; --master-addrs HOST:PORT asks another."
        ) from error


def _late(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep an option that stands behind the command's name."""
    settings = ctx.find_object(Settings)
    if value and settings is not None and param.name:
        setattr(settings, param.name, value)


def pass_settings(command: Callable[Concatenate[Settings, P], T]) -> Callable[P, T]:
    """Give a command its Settings, and let --conf and --master-addrs stand behind it as well."""
    wrapped: Any = click.make_pass_decorator(Settings)(command)
    for flag, metavar in (("--conf", "FILE"), ("--master-addrs", "H:P,H:P")):
        option = click.option(
            flag, metavar=metavar, hidden=True, expose_value=False, callback=_late
        )
        wrapped = option(wrapped)
    result: Callable[P, T] = wrapped
    return result
