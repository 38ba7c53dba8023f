# SPDX-License-Identifier: Apache-2.0
"""The files that the image's parser would write for a Dataset, without its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from curvine.fluid.manifests import Body, Bundle
from curvine.fluid.mount_plan import make_plan
from curvine.fluid.mount_script import mount_script
from curvine.fluid.parse_main import CONF_NAME
from curvine.fluid.rendering import thin_environment
from curvine.fluid.runtime_config import parse_config
from curvine.fluid.secrets import is_secret
from curvine.fluid.toml_text import cluster_toml


def preview(bundle: Bundle, config: Body, what: str, home: str) -> Iterator[tuple[bool, str]]:
    """(is a warning, text): curvine-cluster.toml (``what`` toml) or mount-curvine.sh (script).

    Encrypted options are left out of the TOML, each with a warning: their values are only in the
    pod. Masters that come from a secret are written as ``secret:1``.
    """
    hidden = []
    for mount in config["mounts"]:
        options = mount.get("options", {})
        for name in [name for name, value in options.items() if is_secret(value)]:
            hidden.append(name)
            if name == "master-endpoints":
                options[name] = "secret:1"
            else:
                del options[name]
    plan = make_plan(
        parse_config(msgspec.json.encode(config), bundle.dataset.source), thin_environment(bundle)
    )
    for name in hidden:
        yield True, f"option {name} is a secret; its value is not shown"
    for warning in plan.warnings:
        yield True, warning
    conf = os.path.join(home, CONF_NAME)
    yield (
        False,
        (
            cluster_toml(plan, os.path.dirname(conf))
            if what == "toml"
            else mount_script(plan, home, conf)
        ),
    )
