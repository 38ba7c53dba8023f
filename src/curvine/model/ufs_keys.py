# SPDX-License-Identifier: Apache-2.0
"""The property keys of under storages: one table of names, legacy names, and what must be given.

The master canonicalises by it what it stores, the drivers read by it what they are given.
Source: data-plane specification 5.8, control-plane specification 5.15.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from curvine.errors import InvalidArgument

RETRY_KEYS = (
    "opendal.retry_times",
    "opendal.retry_interval_ms",
    "opendal.retry_max_delay_ms",
    "opendal.connect_timeout",
    "opendal.read_timeout",
)


class SchemeKeys(msgspec.Struct, frozen=True):
    """What the properties of one scheme may be."""

    keys: frozenset[str]
    aliases: dict[str, str] = {}  # legacy name -> canonical name
    required: tuple[str, ...] = ()
    anonymous: str = ""  # a key whose "true" makes the credentials among ``required`` optional


_S3 = SchemeKeys(
    keys=frozenset(
        {
            "s3.endpoint_url",
            "s3.region_name",
            "s3.credentials.access",
            "s3.credentials.secret",
            "s3.credentials.token",
            "s3.force.path.style",
            "s3.list_objects_version",
            "s3.retry_times",
            "s3.connect_timeout",
            "s3.read_timeout",
            "s3.bucket_name",
            "s3.multipart_size",
            "s3.skip_signature",
        }
    ),
    aliases={
        "s3.endpoint": "s3.endpoint_url",
        "s3.region": "s3.region_name",
        "s3.access_key": "s3.credentials.access",
        "s3.access_key_id": "s3.credentials.access",
        "s3.secret_key": "s3.credentials.secret",
        "s3.secret_access_key": "s3.credentials.secret",
        "s3.session_token": "s3.credentials.token",
        "s3.path_style": "s3.force.path.style",
        "s3.path_style_access": "s3.force.path.style",
        "s3.force_path_style": "s3.force.path.style",
    },
    required=(
        "s3.endpoint_url",
        "s3.credentials.access",
        "s3.credentials.secret",
        "s3.region_name",
    ),
    anonymous="s3.skip_signature",
)

_GCS = SchemeKeys(
    keys=frozenset({"gcs.service_account", "gcs.endpoint_url", "gcs.skip_signature"}),
    aliases={"gcs.credential": "gcs.service_account", "gcs.endpoint": "gcs.endpoint_url"},
)

_AZBLOB = SchemeKeys(
    keys=frozenset(
        {"azure.account_name", "azure.account_key", "azure.sas_token", "azure.endpoint_url"}
    ),
    aliases={"azure.endpoint": "azure.endpoint_url"},
    required=("azure.account_name",),
)

_HTTP = SchemeKeys(keys=frozenset({"http.username", "http.password", "http.token"}))

SCHEMES: dict[str, SchemeKeys] = {
    "file": SchemeKeys(frozenset({"file.chunk_size"})),
    "s3": _S3,
    "s3a": _S3,
    "gcs": _GCS,
    "gs": _GCS,
    "azblob": _AZBLOB,
    "azure": _AZBLOB,
    "oss": SchemeKeys(
        keys=frozenset(
            {
                "oss.endpoint",
                "oss.accessKeyId",
                "oss.accessKeySecret",
                "oss.securityToken",
                "oss.region",
                "oss.data.endpoint",
                "oss.second.level.domain.enable",
                "oss.data.lake.storage.enable",
            }
        ),
        aliases={"oss.endpoint_url": "oss.endpoint"},
        required=("oss.endpoint", "oss.accessKeyId", "oss.accessKeySecret"),
    ),
    "http": _HTTP,
    "https": _HTTP,
    "cos": SchemeKeys(
        keys=frozenset(
            {
                "cos.endpoint_url",
                "cos.credentials.access",
                "cos.credentials.secret",
                "cos.credentials.token",
            }
        ),
        aliases={"cos.endpoint": "cos.endpoint_url"},
        required=("cos.endpoint_url", "cos.credentials.access", "cos.credentials.secret"),
    ),
}


def canonical(scheme: str, properties: Mapping[str, str]) -> dict[str, str]:
    """The properties under their canonical names.

    InvalidArgument where a legacy name and its canonical name have different values; the values
    are not shown.
    """
    known = SCHEMES.get(scheme)
    if known is None:
        return dict(properties)
    found: dict[str, str] = {}
    given: dict[str, str] = {}
    for name, value in properties.items():
        key = known.aliases.get(name, name)
        if key in found and found[key] != value:
            raise InvalidArgument(
                f"the mount properties {given[key]} and {name} mean the same and differ; give one"
            )
        found[key] = value
        given[key] = name
    return found


def missing(scheme: str, properties: Mapping[str, str]) -> tuple[str, ...]:
    """Required keys (canonical) without a value."""
    known = SCHEMES.get(scheme)
    if known is None:
        return ()
    open_to_all = (
        properties.get(known.anonymous, "").lower() == "true" if known.anonymous else False
    )
    return tuple(
        key
        for key in known.required
        if not properties.get(key) and not (open_to_all and ".credentials." in key)
    )
