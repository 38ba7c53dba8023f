# SPDX-License-Identifier: Apache-2.0
"""Random Datasets, rendered as Fluid renders them, against the contract's rules in other words.

The generator keeps what it chose as a table of (option, source) and the expectation is read off
that table, not off the parser's code. Source: Fluid contract 1.2, 1.3, 9, 10.3, 10.4.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curvine.errors import ConfigError
from curvine.fluid.mount_plan import MountPlan, make_plan
from curvine.fluid.runtime_config import parse_config
from curvine.fluid.toml_text import cluster_toml

# Who wins, first to last; the name of a variable is the option's in capitals.
SOURCES = ("dataset", "runtime", "mount-options", "environment")
NUMBERS = {"io-threads": 32, "worker-threads": 56, "master-web-port": 8080}
# Spelling -> (name of the flag, texts and what curvine-fuse is told).
FLAGS: dict[str, tuple[str, dict[str, str]]] = {
    "mnt-per-task": ("tasks-per-mnt", {"2": "2"}),
    "tasks-per-mnt": ("tasks-per-mnt", {"3": "3"}),
    "clone-fd": ("clone-fd", {"true": "true", "1": "true", "no": "false"}),
    "fuse-channel-size": ("fuse-channel-size", {"7": "7"}),
    "stream-channel-size": ("stream-channel-size", {"9": "9"}),
    "direct-io": ("direct-io", {"yes": "true", "false": "false", "0": "false"}),
    "write-back-cache": ("write-back-cache", {"true": "true"}),
    "cache-readdir": ("cache-readdir", {"TRUE": "true"}),
    "non-seekable": ("non-seekable", {"false": "false"}),
    "entry-timeout": ("entry-timeout-ms", {"1s": "1000", "250": "250"}),
    "attr-timeout-ms": ("attr-timeout-ms", {"5m": "300000"}),
    "negative-timeout": ("negative-timeout-ms", {"0": "0"}),
    "max-background": ("max-background", {"64": "64"}),
    "congestion-threshold": ("congestion-threshold", {"48": "48"}),
    "node-cache-timeout": ("node-cache-timeout", {"1h": "1h"}),
    "enable-meta-cache": ("enable-meta-cache", {"yes": "true"}),
    "meta-cache-timeout": ("meta-cache-ttl", {"12h": "12h"}),
    "read-dir-fill-ino": ("read-dir-fill-ino", {"true": "true"}),
    "remember": ("remember", {"true": "true"}),
    "check-permission": ("check-permission", {"false": "false"}),
    "metrics-enabled": ("metrics-enabled", {"0": "false"}),
    "list-limit": ("list-limit", {"1000": "1000"}),
    "web-port": ("web-port", {"0": "0"}),
}
hosts = st.sampled_from(("m", "master-0.cv.svc", "10.0.0.1", "[fd00::1]", "[::1]"))
ports = st.integers(1, 65535)
endpoints = st.lists(st.tuples(hosts, ports), min_size=1, max_size=4)
separators = st.sampled_from((",", ";", " ", ", ", "json"))
sources = st.lists(st.sampled_from(SOURCES), unique=True, max_size=4)


def written(masters: list[tuple[str, int]], separator: str) -> str:
    parts = [f"{host}:{port}" for host, port in masters]
    return json.dumps(parts) if separator == "json" else separator.join(parts)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """A document, an environment, and what has to come of them."""
    layers: dict[str, dict[str, str]] = {name: {} for name in SOURCES}
    expected: dict[str, Any] = {}
    for name, default in NUMBERS.items():
        values = {source: str(draw(ports)) for source in draw(sources)}
        for source, value in values.items():
            layers[source][name] = value
        first = next((values[source] for source in SOURCES if source in values), str(default))
        expected[name] = int(first)
    expected["flags"] = {}
    for spelling in draw(st.lists(st.sampled_from(sorted(FLAGS)), unique=True, max_size=5)):
        flag, texts = FLAGS[spelling]
        if flag in expected["flags"]:
            continue
        chosen = {source: draw(st.sampled_from(sorted(texts))) for source in draw(sources)}
        for source, value in chosen.items():
            layers[source][spelling] = value
        for source in reversed(SOURCES):
            if source in chosen:
                expected["flags"][flag] = texts[chosen[source]]
    for noise in draw(st.lists(st.sampled_from(("fluid.fuse.hostvolume", "unheard-of")))):
        layers["dataset"][noise] = "/x:/y"
    expected["unknown"] = "unheard-of" in layers["dataset"]
    count = draw(st.integers(1, 4))
    modes = draw(st.sampled_from((None, ["ReadOnlyMany"], ["ReadWriteMany"],
                                  ["ReadOnlyMany", "ReadWriteOnce"])))  # fmt: skip
    mounts, places = [], []
    for number in range(count):
        masters, name = draw(endpoints), f"n{number}"
        only = draw(st.booleans())
        path = draw(st.sampled_from(("", f"/p{number}", f"/deep/p{number}", "relative")))
        inner = draw(st.sampled_from(("data", "a/b", "", "Grüße 'x'")))
        options = layers["dataset"] | {"master-endpoints": written(masters, draw(separators))}
        scheme = draw(st.sampled_from(("curvine:///", "curvine://", "cv:///", "curvinefs:///")))
        mount: dict[str, Any] = {"mountPoint": scheme + inner, "options": options, "name": name}
        mount |= {"path": path} if path else {}
        mount |= {"readOnly": True} if only else {}
        mount |= draw(
            st.sampled_from(({}, {"shared": True}, {"new": None}, {"path": path or None}))
        )
        mounts.append(mount)
        shown = path if path.startswith("/") else "/" if count == 1 else f"/{name}"
        plain = tuple((host.strip("[]"), port) for host, port in masters)
        closed = only or modes == ["ReadOnlyMany"]
        places.append((shown, f"/{inner}", plain, closed))
    expected["places"] = places
    document: dict[str, Any] = {"mounts": mounts, "targetPath": "/runtime-mnt/thin/ns/ds/thin-fuse"}
    document |= {"accessModes": modes} if modes else {}
    document |= {"runtimeOptions": layers["runtime"]} if layers["runtime"] else {}
    env = {f"CURVINE_{k.upper().replace('-', '_')}": v for k, v in layers["environment"].items()}
    if layers["mount-options"]:
        pairs = draw(st.permutations([f"{k}={v}" for k, v in layers["mount-options"].items()]))
        env["MOUNT_OPTIONS"] = ",".join(pairs)
    return document, env, expected


def plan_of(document: dict[str, Any], env: dict[str, str]) -> MountPlan:
    data = json.dumps(document, separators=(",", ":"), sort_keys=False, ensure_ascii=False)
    return make_plan(parse_config(data.encode(), "config.json"), env)


@given(datasets())
@settings(max_examples=150, deadline=None)
def test_random_datasets(case: tuple[dict[str, Any], dict[str, str], dict[str, Any]]) -> None:
    document, env, expected = case
    plan = plan_of(document, env)
    assert [(p.path, p.fs_path, p.masters, p.read_only) for p in plan.places] == expected["places"]
    assert {"io-threads": plan.io_threads, "worker-threads": plan.worker_threads,
            "master-web-port": plan.web_port} == {n: expected[n] for n in NUMBERS}  # fmt: skip
    flags = {name: value for name, value in plan.flags if name not in NUMBERS}
    assert flags == expected["flags"]
    assert [w for w in plan.warnings if "hostvolume" in w] == []
    assert len([w for w in plan.warnings if "unheard-of" in w]) == expected["unknown"]
    read = tomllib.loads(cluster_toml(plan))
    host, port = expected["places"][0][2][0]
    assert read["master"] == {
        "hostname": host, "rpc_port": port, "web_port": expected["master-web-port"]
    }  # fmt: skip
    assert read["client"]["master_addrs"] == [
        {"hostname": host, "port": port} for host, port in expected["places"][0][2]
    ]
    assert list(read)[:6] == [
        "format_master", "format_worker", "testing", "cluster_id", "master", "client"
    ]  # fmt: skip
    shown = [(m["path"], m["fs_path"]) for m in read["fuse"].get("mounts", [])]
    if len(expected["places"]) == 1 and expected["places"][0][0] == "/":
        assert shown == [] and read["fuse"]["fs_path"] == expected["places"][0][1]
    else:
        assert shown == [(path, inner) for path, inner, _, _ in expected["places"]]
    # What Fluid's first sync does to the stored file is no change.
    assert parse_config(json.dumps(document).encode() + b"\n", "x") == parse_config(
        json.dumps(document, indent=1).encode(), "x"
    )


def claim(attributes: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    source = {"driver": "curvine", "volumeHandle": "h", "volumeAttributes": attributes}
    return {
        "mounts": [{"mountPoint": "pvc://data", "name": "x"}], "targetPath": "/t",
        "persistentVolumeAttrs": {"data": source | more},
        "persistentVolumeMountOptions": {"data": None}, "accessModes": ["ReadWriteMany"],
    }  # fmt: skip


def test_claims_of_curvine_volumes() -> None:
    attributes = {
        "master-addrs": "a:1,b:2",
        "fs-path": "/",
        "curvine-path": "/vol/pvc-1",
        "io-threads": "4",
        "storage.kubernetes.io/csiProvisionerIdentity": "i",
    }
    document = claim(attributes)
    plan = plan_of(document, {})
    (place,) = plan.places
    assert (place.path, place.fs_path, place.masters) == ("/", "/vol/pvc-1", (("a", 1), ("b", 2)))
    assert not plan.read_only and plan.io_threads == 4 and plan.warnings == ()
    document["mounts"][0]["options"] = {"master-endpoints": "c:3", "io-threads": "5"}
    own = plan_of(document, {})
    assert (own.places[0].masters, own.io_threads) == ((("c", 3),), 5)
    assert plan_of(claim({"master-addrs": "a:1", "fs-path": "/d"}), {}).places[0].fs_path == "/d"
    assert plan_of(claim(attributes, readOnly=True), {}).read_only
    document["persistentVolumeMountOptions"] = {"data": ["noatime", "ro"]}
    assert plan_of(document, {}).read_only


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (claim({"server": "nfs", "share": "/x"}, driver="nfs.csi.k8s.io"), "'nfs.csi.k8s.io'"),
        (claim({"master-addrs": "a:1"}), "curvine-path"),
        (claim(None), "master-addrs"),
        (claim({}) | {"persistentVolumeAttrs": None}, "is it bound"),
        (claim({"master-addrs": "nowhere", "fs-path": "/"}), "has no port"),
    ],
)
def test_claims_of_other_volumes(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        plan_of(document, {})
    assert "mount 'x'" in str(caught.value)
