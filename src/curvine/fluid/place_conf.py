# SPDX-License-Identifier: Apache-2.0
"""How to reach the cluster behind a place of a mount plan, as a client of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from curvine.config.load import load
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError
from curvine.fluid.mount_plan import MountPlan, Place, make_plan
from curvine.fluid.runtime_config import find_config, read_config


def place_conf(
    place: Place, patience_ms: int, masters: Sequence[tuple[str, int]] = ()
) -> ClusterConf:
    """The configuration of a client that gives up after ``patience_ms``."""
    overrides: dict[str, object] = {
        "client.master_addrs": ",".join(
            f"{host}:{port}" for host, port in masters or place.masters
        ),
        "client.rpc_retry_max_duration_ms": patience_ms,
        "client.conn_timeout_ms": patience_ms,
    }
    if place.token_file:
        overrides["auth.token_file"] = place.token_file
    env = {"CURVINE_AUTH_TOKEN": place.token} if place.token else {}
    return load(None, env=env, overrides=overrides).conf


def fluid_plan(env: Mapping[str, str]) -> MountPlan:
    """The plan of the Dataset whose configuration Fluid mounted here."""
    path = find_config(env)
    if path is None and not env.get("CURVINE_MASTER_ENDPOINTS"):
        raise ConfigError(
            "this is no pod of Fluid: mount ConfigMap <dataset>-fuse-conf at /etc/fluid/config, "
            "or name masters and paths (--master-addrs, PATH)"
        )
    defaults = {"CURVINE_TARGET_PATH": "/runtime-mnt"}  # of no account here
    return make_plan(read_config(path) if path else None, defaults | dict(env or os.environ))
