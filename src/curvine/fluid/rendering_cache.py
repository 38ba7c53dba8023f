# SPDX-License-Identifier: Apache-2.0
"""runtime.json, as Fluid renders it for the pods of a CacheRuntime (Fluid contract 7.3)."""

from __future__ import annotations

from typing import Any

from curvine.errors import ConfigError
from curvine.fluid.manifests import Body, Bundle, items, mapping
from curvine.fluid.rendering import MOUNT_ROOT, access_modes, encrypted, target_path, texts

_TIERED = "/etc/fluid/mount/tiered-store"
ROLES = ("master", "worker", "client")


def cache_config(bundle: Bundle, *, root: str = MOUNT_ROOT) -> Body:
    """The whole document."""
    spec = bundle.dataset.spec
    config: Body = {
        "mounts": [_mount(mapping(item), spec, bundle) for item in items(spec.get("mounts"))],
        "accessModes": access_modes(bundle.dataset),
        "targetPath": target_path(bundle, root),
    }
    if bundle.profile is None:
        raise ConfigError(
            f"{bundle.runtime.source}: the CacheRuntimeClass "
            f"{bundle.runtime.spec.get('runtimeClassName')} is not in these files"
        )
    topology = mapping(bundle.profile.body.get("topology"))
    for role in ROLES:
        chosen = mapping(bundle.runtime.spec.get(role))
        if role in topology and not chosen.get("disabled"):
            config[role] = _component(role, chosen, mapping(topology[role]), bundle)
    return config


def _mount(item: Body, spec: Body, bundle: Bundle) -> Body:
    point = item.get("mountPoint")
    if not isinstance(point, str) or not point:
        raise ConfigError(f"{bundle.dataset.source}: a mount has no mountPoint (a text)")
    made: Body = {"mountPoint": point}
    options = texts(spec.get("sharedOptions"), bundle.dataset)
    options |= texts(item.get("options"), bundle.dataset)
    secrets = encrypted(spec.get("sharedEncryptOptions"), bundle)
    secrets |= encrypted(item.get("encryptOptions"), bundle)
    if options:
        made["options"] = dict(sorted(options.items()))
    if secrets:
        made["encryptOptions"] = dict(sorted(secrets.items()))
    if item.get("name"):
        made["name"] = item["name"]
    path = str(item.get("path") or "")
    made["path"] = path if path.startswith("/") else f"/{item.get('name') or ''}"
    for key in ("readOnly", "shared"):
        if item.get(key):
            made[key] = True
    return made


def _component(role: str, chosen: Body, of_class: Body, bundle: Bundle) -> Body:
    name = f"{bundle.dataset.name}-{role}"
    made: Body = {"enabled": True, "name": name}
    assert bundle.profile is not None
    options = texts(of_class.get("options"), bundle.profile)
    options |= texts(bundle.runtime.spec.get("options"), bundle.runtime)
    options |= texts(chosen.get("options"), bundle.runtime)
    if options:
        made["options"] = dict(sorted(options.items()))
    if role != "client" and chosen.get("replicas", 1):
        made["replicas"] = chosen.get("replicas", 1)
    headless = "headless" in mapping(of_class.get("service"))
    made["service"] = {"name": f"svc-{name}" if headless else ""}
    levels = items(mapping(chosen.get("tieredStore")).get("levels"))
    if levels:
        made["tieredStoreLevels"] = [_level(n, mapping(level)) for n, level in enumerate(levels)]
    return made


def _level(number: int, level: Body) -> Body:
    made: Body = {}
    if "processMemory" in level:
        paths: list[Any] = ["/dev/shm"]
        medium, quotas = "MEM", [mapping(level["processMemory"]).get("quota")]
    elif "hostPath" in level:
        host = mapping(level["hostPath"])
        count = len(items(host.get("paths")))
        paths = [f"{_TIERED}/level-{number}-index-{i}-hostpath" for i in range(count)]
        medium, quotas = "HDD", items(host.get("quotas"))
    else:
        empty = mapping(level.get("emptyDir"))
        paths = [f"{_TIERED}/level-{number}-index-0-emptydir"]
        medium = "MEM" if empty.get("medium") == "Memory" else "HDD"
        quotas = [empty.get("quota")]
    made["mountPaths"] = paths
    made["mediumType"] = medium
    made["quotas"] = [str(quota) for quota in quotas if quota is not None]
    for key in ("high", "low"):
        if level.get(key):
            made[key] = str(level[key])
    return made
