# SPDX-License-Identifier: Apache-2.0
"""From a few arguments to a connected file system, for Python programs.

Where the cluster is found: ``master_addrs``, else ``config_path``, else CURVINE_CONF_FILE, else
$CURVINE_HOME/conf, else the directory of `cv up` (decision 29). A cluster that does not answer is
told of after :data:`PATIENCE` seconds; once connected, calls wait for a master that went away as
long as the configuration says (``rpc_retry_max_duration_ms``).
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Iterable, Mapping, Sequence

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.config.load import find_conf, load
from curvine.config.schema import ClusterConf, key_of
from curvine.config.schema_client import ClientConf
from curvine.errors import ConfigError, CurvineError, NoMaster

PATIENCE = 5.0  # s for the first answer of a master

Masters = str | Sequence[str]


def configuration(
    master_addrs: Masters | None = None,
    config_path: str | os.PathLike[str] | None = None,
    options: Mapping[str, object] | None = None,
) -> ClusterConf:
    """The effective configuration. ConfigError names what is wrong and the way out.

    ``master_addrs`` is "host:port,host:port" or a list of such; ``options`` are keys of [client],
    or of any section with its name in front ("auth.token_file").
    """
    overrides: dict[str, object] = {}
    for name, value in (options or {}).items():
        key = name if "." in name else f"client.{name}"
        if key_of(key) is None:
            raise ConfigError(_unknown(name))
        overrides[key] = value
    if master_addrs:
        text = master_addrs if isinstance(master_addrs, str) else ",".join(master_addrs)
        overrides["client.master_addrs"] = text
    path = find_conf(None if config_path is None else os.fspath(config_path), os.environ)
    if path is None and "client.master_addrs" not in overrides:
        raise ConfigError(
            "no cluster is configured: give master_addrs='HOST:PORT' or config_path, set "
            "CURVINE_CONF_FILE, or start a cluster on this machine with `cv up --detach`"
        )
    return load(path, env=os.environ, overrides=overrides).conf


class UsualPlace:
    """A class attribute: which configuration file is found without being named, and its age.

    fsspec gives out the same file system for the same arguments; this makes them others when the
    environment names another cluster, or `cv up` has started one with other ports.
    """

    def __get__(self, instance: object, owner: type) -> tuple[str, int] | None:
        try:
            path = find_conf(None, os.environ)
            return None if path is None else (path, os.stat(path).st_mtime_ns)
        except (ConfigError, OSError):
            return None


async def open_file_system(conf: ClusterConf, component: str) -> UnifiedFileSystem:
    """A connected file system on the running loop. NoMaster after PATIENCE seconds."""
    cluster = ClusterClient(conf, component=component)
    await cluster.__aenter__()
    try:
        await asyncio.wait_for(cluster.handshake(), PATIENCE)
    except (TimeoutError, NoMaster) as error:
        await cluster.close()
        reason = f" ({error})" if isinstance(error, CurvineError) else ""
        masters = ", ".join(f"{host}:{port}" for host, port in conf.client_master_addrs())
        raise NoMaster(
            f"no master answers at {masters}{reason}. Is it running? Another one is named by "
            "master_addrs='HOST:PORT', `cv up --detach` starts a cluster on this machine"
        ) from None
    except BaseException:
        await cluster.close()
        raise
    return UnifiedFileSystem(cluster)


async def close_file_system(fs: UnifiedFileSystem) -> None:
    """Close what :func:`open_file_system` gave."""
    await fs.close()
    await fs.cluster.close()


def client_options() -> Iterable[str]:
    """Every option that :func:`configuration` takes without a section's name."""
    return ClientConf.NAMES


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, list(client_options()), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown option {name!r}: neither an argument nor a key of [client]{hint}"
