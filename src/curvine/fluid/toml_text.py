# SPDX-License-Identifier: Apache-2.0
"""The generated ``curvine-cluster.toml``: the seed's keys in the seed's order, then what was asked.

Source: the seed document ("Configuration File Conversion"), Fluid contract 9, decision 22.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from curvine.fluid.mount_plan import CLUSTER_ID, MountPlan, Place
from curvine.fluid.options import TomlValue

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_SHORT = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r",
}  # fmt: skip


def quoted(text: str) -> str:
    """``text`` as a basic string of TOML."""
    return '"' + _ESCAPED.sub(lambda m: _SHORT.get(m[0]) or f"\\u{ord(m[0]):04X}", text) + '"'


def key_text(name: str) -> str:
    """``name`` as a key of TOML."""
    return name if _BARE_KEY.fullmatch(name) else quoted(name)


def value_text(value: TomlValue) -> str:
    """``value`` as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    return repr(value)


def cluster_toml(plan: MountPlan, conf_dir: str = "") -> str:
    """The whole file. ``conf_dir`` is where the files of ``plan.token_names`` are written."""
    return "\n".join(_lines(plan, conf_dir)) + "\n"


def _lines(plan: MountPlan, conf_dir: str) -> Iterator[str]:
    yield from ("format_master = false", "format_worker = false", "testing = false")
    first = plan.places[0] if plan.places else None
    yield f"cluster_id = {quoted(first.cluster_id if first else CLUSTER_ID)}"
    masters = first.masters if first else ()
    yield from ("", "[master]")
    if masters:
        yield f"hostname = {quoted(masters[0][0])}"
        yield f"rpc_port = {masters[0][1]}"
    yield f"web_port = {plan.web_port}"
    tokens = {_token_file(place, plan, conf_dir) for place in plan.places}
    if len(tokens) == 1 and any(tokens):
        yield from ("", "[auth]", f"token_file = {quoted(*tokens)}")
    if plan.client:
        yield from ("", "[client]", *_pairs(plan.client))
    for host, port in masters:
        yield from ("", "[[client.master_addrs]]", f"hostname = {quoted(host)}", f"port = {port}")
    root = plan.root
    yield from ("", "[fuse]", "debug = false")
    yield f"io_threads = {plan.io_threads}"
    yield f"worker_threads = {plan.worker_threads}"
    yield f"mnt_path = {quoted(plan.target)}"
    # Without any place (mounts come later) nothing is shown: an empty path says so.
    yield f"fs_path = {quoted(root.fs_path if root else '/' if plan.places else '')}"
    if plan.read_only:
        yield "readonly = true"
    if plan.kernel:
        yield f"fuse_opts = [{', '.join(quoted(name) for name in plan.kernel)}]"
    yield from _pairs(plan.fuse)
    if root is None:
        for place in plan.places:
            yield from ("", "[[fuse.mounts]]", *_place(place))
            if first and place.cluster_id != first.cluster_id:
                yield f"cluster_id = {quoted(place.cluster_id)}"
            own = _token_file(place, plan, conf_dir)
            if own and len(tokens) > 1:
                yield f"token_file = {quoted(own)}"


def _token_file(place: Place, plan: MountPlan, conf_dir: str) -> str:
    name = plan.token_names.get(place.token)
    return os.path.join(conf_dir, name) if name else place.token_file


def _place(place: Place) -> Iterator[str]:
    yield f"path = {quoted(place.path)}"
    yield f"fs_path = {quoted(place.fs_path)}"
    masters = (f"{{ hostname = {quoted(host)}, port = {port} }}" for host, port in place.masters)
    yield f"master_addrs = [{', '.join(masters)}]"
    yield f"read_only = {value_text(place.read_only)}"
    if place.client:
        pairs = (
            # Texts throughout: the reader gives them the types of [client].
            f"{key_text(name)} = {quoted(value if isinstance(value, str) else value_text(value))}"
            for name, value in place.client.items()
        )
        yield f"options = {{ {', '.join(pairs)} }}"


def _pairs(values: Mapping[str, TomlValue]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{key_text(name)} = {value_text(value)}"
