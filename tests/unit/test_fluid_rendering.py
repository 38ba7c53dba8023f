# SPDX-License-Identifier: Apache-2.0
"""Manifests become the very documents that Fluid's own code made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from curvine.errors import ConfigError
from curvine.fluid.manifests import choose, parse_manifests, read_manifests
from curvine.fluid.rendering import go_json, thin_config, thin_environment
from curvine.fluid.rendering_cache import cache_config

FIXTURES = Path(__file__).parents[1] / "data" / "fluid"
THIN = sorted(
    path.name.removesuffix(".yaml")
    for path in (FIXTURES / "inputs").glob("*.yaml")
    if (FIXTURES / f"{path.stem}.config.json").exists()
)
DATASET = """
kind: Dataset
apiVersion: data.fluid.io/v1alpha1
metadata: {name: ds, namespace: ns}
spec:
  sharedOptions: {a: shared, b: shared}
  sharedEncryptOptions:
  - {name: c, valueFrom: {secretKeyRef: {name: s, key: c}}}
  - {name: d, valueFrom: {secretKeyRef: {name: s, key: d}}}
  mounts:
  - mountPoint: "curvine:///<&>"
    options: {b: mount, d: plain}
    encryptOptions:
    - {name: c, valueFrom: {secretKeyRef: {name: own, key: c}}}
---
kind: ThinRuntime
apiVersion: data.fluid.io/v1alpha1
metadata: {name: ds, namespace: ns}
spec: {profileName: p}
---
kind: Secret
apiVersion: v1
metadata: {name: s, namespace: ns}
stringData: {d: "text\\n"}
data: {c: b25l}
"""


def test_there_are_fixtures() -> None:
    assert len(THIN) == 7


@pytest.mark.parametrize("name", THIN)
def test_config_json_is_fluids(name: str) -> None:
    bundle = choose(read_manifests([str(FIXTURES / "inputs" / f"{name}.yaml")]))
    assert go_json(thin_config(bundle)) == (FIXTURES / f"{name}.config.json").read_text()


def test_runtime_json_is_fluids() -> None:
    name = "13-cacheruntime-curvine-native"
    bundle = choose(read_manifests([str(FIXTURES / "inputs" / f"{name}.yaml")]))
    assert go_json(cache_config(bundle)) == (FIXTURES / f"{name}.runtime.json").read_text()


def test_who_wins_among_options() -> None:
    config = thin_config(choose(tuple(parse_manifests(DATASET, "x"))))
    assert config["mounts"][0]["options"] == {
        "a": "shared",
        "b": "mount",
        "c": "/etc/fluid/secrets/own/c",
        "d": "/etc/fluid/secrets/s/d",
    }
    assert '"curvine:///\\u003c\\u0026\\u003e"' in go_json(config)


@pytest.mark.parametrize("own", ["{name: c, ", "{name: d, ", "{name: e, {E}}}\n    - {name: e, "])
def test_secrets_as_texts_refuse_what_is_given_twice(own: str) -> None:
    """A shared one again, and one name twice in one list, as Fluid refuses them."""
    ref = "valueFrom: {secretKeyRef: {name: s, key: c}"
    text = DATASET.replace("d: plain", "x: plain")
    text = text.replace("    - {name: c, valueFrom: {secretKeyRef: {name: own, key: c}",
        "    - " + own.replace("{E}}", ref + "}") + ref)  # fmt: skip
    with pytest.raises(ConfigError, match="is given twice"):
        thin_config(choose(tuple(parse_manifests(text, "x"))), literal=True)


def test_secrets_as_texts_keep_their_newline() -> None:
    text = DATASET.replace("d: plain", "e: plain").replace(
        "    encryptOptions:\n    - {name: c, valueFrom: {secretKeyRef: {name: own, key: c}}}\n", ""
    )
    config = thin_config(choose(tuple(parse_manifests(text, "x"))), literal=True)
    options = config["mounts"][0]["options"]
    assert (options["c"], options["d"]) == ("one", "text\n")


def test_environment_of_the_pod() -> None:
    """Profile before runtime, runtime options over the profile's, ``ro`` lost as in Fluid."""
    bundle = choose(read_manifests([str(FIXTURES / "inputs" / "08-fuse-options.yaml")]))
    env = thin_environment(bundle)
    assert env["CURVINE_IO_THREADS"] == "96" and env["CURVINE_WORKER_THREADS"] == "128"
    assert set(env["MOUNT_OPTIONS"].split(",")) == {
        "io-threads=64", "kernel_cache", "allow_other", "worker-threads=128"
    }  # fmt: skip
    plain = choose(read_manifests([str(FIXTURES / "inputs" / "01-seed-minimal.yaml")]))
    assert thin_environment(plain)["MOUNT_OPTIONS"] == "ro"


def test_volumes_behind_claims() -> None:
    text = """
kind: Dataset
metadata: {name: ds}
spec: {mounts: [{mountPoint: "pvc://claim", name: x}]}
---
kind: ThinRuntime
metadata: {name: ds}
spec: {profileName: p}
---
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {volumeName: pv-1}
---
kind: PersistentVolume
metadata: {name: pv-1, annotations: {volume.beta.kubernetes.io/mount-options: "a,b=c"}}
spec:
  csi: {volumeHandle: h, driver: curvine, volumeAttributes: {z: "1", master-addrs: "m:8995"}}
"""
    config = thin_config(choose(tuple(parse_manifests(text, "x"))))
    assert go_json(config["persistentVolumeAttrs"]) == (
        '{"claim":{"driver":"curvine","volumeHandle":"h","volumeAttributes":'
        '{"master-addrs":"m:8995","z":"1"}}}'
    )
    assert config["persistentVolumeMountOptions"] == {"claim": ["a", "b=c"]}
    with pytest.raises(ConfigError, match="must be among the files"):
        thin_config(
            choose(tuple(parse_manifests(text.split("---\nkind: PersistentVolume\n")[0], "x")))
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line 1 is not YAML"),
        ("a: 1", "it has no kind"),
        ("kind: Dataset\nname: x", "has no metadata.name"),
        ("kind: Dataset\nkind: Dataset\nmetadata: {name: x}", "line 2: the key kind stands twice"),
        ("kind: Dataset\nmetadata: {name: x}", "has no ThinRuntime or CacheRuntime"),
        (DATASET + "---" + DATASET.replace("name: ds", "name: other"), "there are several"),
        (DATASET.replace("a: shared", "a: 8995"), 'write a: "8995"'),
        (DATASET.replace("a: shared", "a: yes"), 'write a: "true"'),
    ],
)  # fmt: skip
def test_refused_with_the_way_out(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        thin_config(choose(tuple(parse_manifests(text, "x"))))
