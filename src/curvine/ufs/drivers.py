# SPDX-License-Identifier: Apache-2.0
"""One function for each family of schemes: from a URI and its properties to an implementation.

Properties arrive resolved and under their canonical names. Engines are imported here, when the
first storage of that kind is opened: they are large. Source: data-plane specification 5.8.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

from curvine.errors import InvalidArgument
from curvine.ufs.base import Ufs
from curvine.ufs.blame import Place
from curvine.ufs.object_ufs import ObjectUfs
from curvine.ufs.objects import PART
from curvine.ufs.patience import Patience
from curvine.units import parse_size

_LEAST_PART = 5 << 20  # S3's minimum
_MOST_PART = 5 << 30


def split_bucket(uri: str) -> tuple[str, str]:
    """Bucket and prefix of ``scheme://bucket/prefix``."""
    bucket, _, prefix = uri.partition("://")[2].partition("/")
    if not bucket:
        raise InvalidArgument(f"{uri!r} names no bucket; write scheme://bucket/path")
    return bucket, prefix.strip("/")


def s3(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """s3:// and s3a://."""
    from curvine.ufs.obstore_engine import ObstoreObjects, s3_store
    from curvine.ufs.opendal_engine import OpenDalObjects, operator

    bucket, prefix = split_bucket(uri)
    endpoint = _endpoint(properties["s3.endpoint_url"], "s3.endpoint_url")
    region = properties["s3.region_name"]
    # Upstream's reading: on when absent or "true" in any case.
    path_style = properties.get("s3.force.path.style", "true").strip().lower() == "true"
    part_size = _part_size(properties.get("s3.multipart_size"))
    place = Place(
        f"{uri.partition('://')[0]}://{bucket}",
        endpoint,
        access="s3.credentials.access",
        secret="s3.credentials.secret",
        region="s3.region_name",
        endpoint_key="s3.endpoint_url",
    )
    credentials = None
    if properties.get("s3.skip_signature", "").lower() != "true":
        credentials = {
            "access_key_id": properties["s3.credentials.access"],
            "secret_access_key": properties["s3.credentials.secret"],
        }
    named = {
        "bucket": bucket,
        "root": "/",
        "endpoint": endpoint,
        "region": region,
        "disable_config_load": "true",
        "disable_ec2_metadata": "true",
    }
    if credentials is None:
        named["skip_signature"] = "true"
    else:
        named.update(credentials)
        token = properties.get("s3.credentials.token")
        if token:
            named["session_token"] = credentials["token"] = token
    if not path_style:
        named["enable_virtual_host_style"] = "true"
    if properties.get("s3.list_objects_version", "").lower() == "v1":
        named["disable_list_objects_v2"] = "true"
    config = {
        "endpoint": endpoint if path_style else _with_bucket(endpoint, bucket),
        "region": region,
        "virtual_hosted_style_request": not path_style,
    }
    names = OpenDalObjects(operator("s3", named, patience), place, part_size)
    store = s3_store(bucket, config, credentials, patience)
    return ObjectUfs(uri, ObstoreObjects(store, names, place, part_size), prefix)


def http(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """http:// and https://, read-only."""
    from curvine.ufs import http_ufs

    return http_ufs.http(uri, properties, patience)


def _endpoint(text: str, key: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidArgument(f"the mount property {key} is {text!r}, no http or https URL")
    return text.rstrip("/")


def _with_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint of a bucket in virtual-host style."""
    parts = urlsplit(endpoint)
    host = parts.netloc if parts.netloc.startswith(f"{bucket}.") else f"{bucket}.{parts.netloc}"
    return parts._replace(netloc=host).geturl()


def _part_size(text: str | None) -> int:
    if not text:
        return PART
    try:
        size = parse_size(text)
    except ValueError as error:
        raise InvalidArgument(f"the mount property s3.multipart_size: {error}") from None
    if not _LEAST_PART <= size <= _MOST_PART:
        raise InvalidArgument(f"s3.multipart_size is {text}, it must be between 5MB and 5GB")
    return size


def _bucket_place(uri: str, endpoint: str, access: str, secret: str, endpoint_key: str) -> Place:
    scheme, _, rest = uri.partition("://")
    where = f"{scheme}://{rest.partition('/')[0]}"
    return Place(where, endpoint, access=access, secret=secret, endpoint_key=endpoint_key)


def gcs(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """gcs:// and gs://. Without a service account the environment's credentials are used."""
    from curvine.ufs.obstore_engine import ObstoreObjects, gcs_store
    from curvine.ufs.opendal_engine import OpenDalObjects, operator

    bucket, prefix = split_bucket(uri)
    endpoint = properties.get("gcs.endpoint_url", "")
    config: dict[str, object] = {}
    named = {"bucket": bucket, "root": "/"}
    if endpoint:
        config["base_url"] = named["endpoint"] = _endpoint(endpoint, "gcs.endpoint_url")
    account = properties.get("gcs.service_account")
    if properties.get("gcs.skip_signature", "").lower() == "true":
        config["skip_signature"], named["skip_signature"] = True, "true"
    elif account:
        config["service_account_key"] = account
        named["credential"] = base64.b64encode(account.encode()).decode()
    key = "gcs.service_account"
    place = _bucket_place(uri, endpoint, key, key, "gcs.endpoint_url")
    names = OpenDalObjects(operator("gcs", named, patience), place)
    return ObjectUfs(uri, ObstoreObjects(gcs_store(bucket, config, patience), names, place), prefix)


def azblob(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """azblob:// and azure://CONTAINER/path."""
    from curvine.ufs.obstore_engine import ObstoreObjects, azure_store
    from curvine.ufs.opendal_engine import OpenDalObjects, operator

    container, prefix = split_bucket(uri)
    account = properties["azure.account_name"]
    endpoint = properties.get("azure.endpoint_url") or f"https://{account}.blob.core.windows.net"
    endpoint = _endpoint(endpoint, "azure.endpoint_url")
    config: dict[str, object] = {"account_name": account, "endpoint": endpoint}
    named = {
        "container": container,
        "root": "/",
        "account_name": account,
        "endpoint": endpoint,
    }
    if properties.get("azure.account_key"):
        config["account_key"] = named["account_key"] = properties["azure.account_key"]
    elif properties.get("azure.sas_token"):
        config["sas_key"] = named["sas_token"] = properties["azure.sas_token"]
    else:
        config["skip_signature"], named["skip_signature"] = True, "true"
    place = _bucket_place(
        uri, endpoint, "azure.account_name", "azure.account_key", "azure.endpoint_url"
    )
    names = OpenDalObjects(operator("azblob", named, patience), place)
    store = azure_store(container, config, patience)
    return ObjectUfs(uri, ObstoreObjects(store, names, place), prefix)


def oss(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """oss://: Alibaba Cloud, through OpenDAL."""
    from curvine.ufs.opendal_engine import OpenDalObjects, operator

    bucket, prefix = split_bucket(uri)
    named = {
        "bucket": bucket,
        "root": "/",
        "endpoint": properties["oss.endpoint"],
        "access_key_id": properties["oss.accessKeyId"],
        "access_key_secret": properties["oss.accessKeySecret"],
    }
    if properties.get("oss.securityToken"):
        named["security_token"] = properties["oss.securityToken"]
    place = _bucket_place(
        uri, named["endpoint"], "oss.accessKeyId", "oss.accessKeySecret", "oss.endpoint"
    )
    return ObjectUfs(uri, OpenDalObjects(operator("oss", named, patience), place), prefix)


def cos(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """cos://: Tencent Cloud, through OpenDAL."""
    from curvine.ufs.opendal_engine import OpenDalObjects, operator

    bucket, prefix = split_bucket(uri)
    named = {
        "bucket": bucket,
        "root": "/",
        "endpoint": properties["cos.endpoint_url"],
        "secret_id": properties["cos.credentials.access"],
        "secret_key": properties["cos.credentials.secret"],
        "disable_config_load": "true",
    }
    if properties.get("cos.credentials.token"):
        named["security_token"] = properties["cos.credentials.token"]
    place = _bucket_place(
        uri,
        named["endpoint"],
        "cos.credentials.access",
        "cos.credentials.secret",
        "cos.endpoint_url",
    )
    return ObjectUfs(uri, OpenDalObjects(operator("cos", named, patience), place), prefix)
