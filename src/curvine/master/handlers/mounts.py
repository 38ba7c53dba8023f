# SPDX-License-Identifier: Apache-2.0
"""The mount table (control-plane specification 5.15). Paths and URIs are keys as they are sent."""

from __future__ import annotations

from curvine.errors import Common
from curvine.master.disclosure import kept_secrets, told
from curvine.master.services import Services
from curvine.model.credentials import MASTER, WITHHELD
from curvine.wire.convert_cluster import fill_mount, read_mount_options
from curvine.wire.pb import ext_pb2, mount_pb2

_EMPTY = b""  # a message without fields


def mount(master: Services, request: mount_pb2.MountRequest, req_id: int) -> bytes:
    """Code 30: a new mount, or with ``update`` a change of the one that holds the path."""
    options = read_mount_options(request.mount_options)
    for name, value in options.add_properties.items():
        if value == WITHHELD or value.startswith(MASTER):
            raise Common(f"The property {name} was kept back by a master; give its value")
    if options.update:
        master.namespace.mount_update(request.cv_path, options, req_id=req_id)
    else:
        master.namespace.mount_add(request.cv_path, request.ufs_path, options, req_id=req_id)
    return _EMPTY


def unmount(master: Services, request: mount_pb2.UnMountRequest, req_id: int) -> bytes:
    """Code 31. Cached data stay."""
    master.namespace.mount_remove(request.cv_path, req_id=req_id)
    return _EMPTY


def mount_table(master: Services, request: mount_pb2.GetMountTableRequest, _req_id: int) -> bytes:
    """Code 33."""
    out = mount_pb2.GetMountTableResponse()
    for row in master.namespace.mounts():
        fill_mount(out.mount_table.add(), told(row, request.references))
    return out.SerializeToString()


def mount_info(master: Services, request: mount_pb2.GetMountInfoRequest, _req_id: int) -> bytes:
    """Code 34: the mount of a path or URI; empty if there is none."""
    out = mount_pb2.GetMountInfoResponse()
    found = master.namespace.mount_info(request.path)
    if found is not None:
        fill_mount(out.mount_info, told(found, request.references))
    return out.SerializeToString()


def mount_secrets(master: Services, request: ext_pb2.MountSecretsRequest, _req_id: int) -> bytes:
    """Code 104 (ours): what this master keeps of a mount's credentials. The connection has passed
    the cluster's authentication, where that is on."""
    found = next((m for m in master.namespace.mounts() if m.mount_id == request.mount_id), None)
    if found is None:
        raise Common(f"There is no mount of the id {request.mount_id} any more")
    out = ext_pb2.MountSecretsResponse()
    for name, value in kept_secrets(found).items():
        out.secrets.add(name=name, value=value)
    return out.SerializeToString()
