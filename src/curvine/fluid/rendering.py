# SPDX-License-Identifier: Apache-2.0
"""What Fluid makes of manifests: config.json of a ThinRuntime, and its pod's environment.

The merge rules, key order and JSON style are Fluid's (Fluid contract 1.2 to 1.5, 2.1); equality
with configurations that Fluid's own code rendered is tested. runtime.json of a CacheRuntime is in
:mod:`curvine.fluid.rendering_cache`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from curvine.errors import ConfigError
from curvine.fluid.manifests import Body, Bundle, Document, items, mapping, secret_value
from curvine.fluid.secrets import PREFIX

MOUNT_ROOT = "/runtime-mnt"
_CSI_KEYS = (
    "driver", "volumeHandle", "readOnly", "fsType", "volumeAttributes",
    "controllerPublishSecretRef", "nodeStageSecretRef", "nodePublishSecretRef",
    "controllerExpandSecretRef", "nodeExpandSecretRef",
)  # fmt: skip
_MOUNT_OPTIONS_ANNOTATION = "volume.beta.kubernetes.io/mount-options"


def go_json(value: object) -> str:
    """``value`` as Go's json.Marshal writes it: compact, five characters escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def thin_config(bundle: Bundle, *, literal: bool = False, root: str = MOUNT_ROOT) -> Body:
    """config.json. ``literal``: secrets as texts (Fluid's configStorage ``secret``)."""
    spec = bundle.dataset.spec
    mounts = [_mount(item, spec, bundle, literal) for item in items(spec.get("mounts"))]
    config: Body = {"mounts": mounts, "targetPath": target_path(bundle, root)}
    options = texts(mapping(bundle.runtime.spec.get("fuse")).get("options"), bundle.runtime)
    if options:
        config["runtimeOptions"] = options
    config |= _volumes(mounts, bundle)
    config["accessModes"] = access_modes(bundle.dataset)
    return config


def target_path(bundle: Bundle, root: str = MOUNT_ROOT) -> str:
    """Where the pod mounts."""
    kind = "cache" if bundle.is_cache else "thin"
    return f"{root}/{kind}/{bundle.dataset.namespace}/{bundle.dataset.name}/{kind}-fuse"


def access_modes(dataset: Document) -> list[str]:
    """The Dataset's access modes with Fluid's default."""
    return [str(mode) for mode in items(dataset.spec.get("accessModes"))] or ["ReadOnlyMany"]


def _mount(item: Any, spec: Body, bundle: Bundle, literal: bool) -> Body:
    item = mapping(item)
    point = item.get("mountPoint")
    if not isinstance(point, str) or not point:
        raise ConfigError(f"{bundle.dataset.source}: a mount has no mountPoint (a text)")
    made: Body = {"mountPoint": point}
    plain = texts(spec.get("sharedOptions"), bundle.dataset)
    plain |= texts(item.get("options"), bundle.dataset)
    secret = encrypted(spec.get("sharedEncryptOptions"), bundle, literal)
    own = encrypted(item.get("encryptOptions"), bundle, literal)
    if literal:
        rows = secret_keys(spec.get("sharedEncryptOptions"))
        rows += secret_keys(item.get("encryptOptions"))
        seen = set(plain)
        for name, _, _ in rows:
            if name in seen:
                raise ConfigError(f"{bundle.dataset.source}: option {name} is given twice")
            seen.add(name)
    options = plain | secret | own
    if options:
        made["options"] = dict(sorted(options.items()))
    for key in ("name", "path", "readOnly", "shared"):
        if item.get(key):
            made[key] = item[key]
    return made


def texts(value: Any, document: Document) -> dict[str, str]:
    """Options sorted by name. ConfigError for a value that the API server would refuse."""
    options = {}
    for name, text in sorted(mapping(value).items()):
        if not isinstance(text, str):
            raise ConfigError(
                f"{document.source}: option {name} is {json.dumps(text)}, not a text; write "
                f'{name}: "{text if not isinstance(text, bool) else str(text).lower()}"'
            )
        options[name] = text
    return options


def secret_keys(value: Any) -> list[tuple[str, str, str]]:
    """(option, Secret, key) of a list of encrypted options."""
    rows = []
    for item in items(value):
        ref = mapping(mapping(mapping(item).get("valueFrom")).get("secretKeyRef"))
        rows.append((str(mapping(item).get("name")), str(ref.get("name")), str(ref.get("key"))))
    return rows


def encrypted(value: Any, bundle: Bundle, literal: bool = False) -> dict[str, str]:
    """Encrypted options as paths of files, or as the texts of the Secrets at hand."""
    options: dict[str, str] = {}
    for option, name, key in secret_keys(value):
        if not literal:
            options[option] = f"{PREFIX}{name}/{key}"
            continue
        document = bundle.find("Secret", name)
        data = secret_value(document, key) if document else None
        if data is None:
            raise ConfigError(
                f"{bundle.dataset.source}: option {option}: Secret {name} with the key {key} is "
                "not in these files; without it only file paths can be rendered"
            )
        options[option] = data.decode("utf-8", "replace")
    return options


def _volumes(mounts: list[Body], bundle: Bundle) -> Body:
    """What the volumes behind ``pvc://`` mounts are."""
    attributes: Body = {}
    options: Body = {}
    for mount in mounts:
        scheme, mark, claim = mount["mountPoint"].partition("://")
        if scheme != "pvc" or not mark:
            continue
        pvc = bundle.find("PersistentVolumeClaim", claim)
        volume = bundle.find("PersistentVolume", str(pvc.spec.get("volumeName"))) if pvc else None
        csi = mapping(volume.spec.get("csi")) if volume else {}
        if volume is None or not csi:
            raise ConfigError(
                f"{bundle.dataset.source}: {mount['mountPoint']}: the claim, bound to a CSI "
                "PersistentVolume, must be among the files"
            )
        attributes[claim] = {
            # Maps are sorted, as Go writes them; of these objects only maps have free keys.
            key: dict(sorted(csi[key].items())) if isinstance(csi[key], dict) else csi[key]
            for key in _CSI_KEYS
            if csi.get(key)
        }
        annotation = volume.annotations.get(_MOUNT_OPTIONS_ANNOTATION)
        options[claim] = volume.spec.get("mountOptions") or (
            str(annotation).split(",") if annotation else None
        )
    if not attributes:
        return {}
    return {"persistentVolumeAttrs": attributes, "persistentVolumeMountOptions": options}


def thin_environment(bundle: Bundle) -> dict[str, str]:
    """The variables that the fuse container gets; later entries win, as in Kubernetes.

    Values from ConfigMaps and Secrets are resolved where those are among the files, and left out
    otherwise; fields of the pod are left out.
    """
    profile = mapping(bundle.profile.spec.get("fuse")) if bundle.profile else {}
    runtime = mapping(bundle.runtime.spec.get("fuse"))
    env = {
        "FLUID_RUNTIME_TYPE": "thin",
        "FLUID_RUNTIME_NS": bundle.dataset.namespace,
        "FLUID_RUNTIME_NAME": bundle.dataset.name,
    }
    for source in (profile, runtime):
        for item in items(source.get("env")):
            value = _variable(mapping(item), bundle)
            if value is not None:
                env[str(mapping(item).get("name"))] = value
    env["MOUNT_POINT"] = target_path(bundle)
    options = texts(profile.get("options"), bundle.profile or bundle.runtime)
    if not options and "ReadOnlyMany" in access_modes(bundle.dataset):
        options = {"ro": ""}  # Fluid loses it as soon as the profile has options of its own
    options |= texts(runtime.get("options"), bundle.runtime)
    if options:
        pairs = (f"{name}={value}" if value else name for name, value in options.items())
        env["MOUNT_OPTIONS"] = ",".join(pairs)
    return env


def _variable(item: Mapping[str, Any], bundle: Bundle) -> str | None:
    origin = mapping(item.get("valueFrom"))
    if not origin:
        value = item.get("value", "")
        return value if isinstance(value, str) else None
    ref = mapping(origin.get("secretKeyRef"))
    if ref:
        secret = bundle.find("Secret", str(ref.get("name")))
        data = secret_value(secret, str(ref.get("key"))) if secret else None
        return None if data is None else data.decode("utf-8", "replace")
    ref = mapping(origin.get("configMapKeyRef"))
    document = bundle.find("ConfigMap", str(ref.get("name"))) if ref else None
    value = mapping(document.body.get("data")).get(str(ref.get("key"))) if document else None
    return value if isinstance(value, str) else None
