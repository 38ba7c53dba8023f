# SPDX-License-Identifier: Apache-2.0
"""From a URI and a mount's properties to an implementation.

The scheme table is the one place that knows which implementation serves what. A property that no
implementation knows is named in an error instead of being dropped: a misspelt key would otherwise
show as a failing request much later.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import msgspec

from curvine.errors import InvalidArgument, Unsupported
from curvine.model.credentials import EXPOSE
from curvine.ufs.base import Ufs
from curvine.ufs.credentials import resolved
from curvine.ufs.posix import PosixUfs

# Keys that may stand beside the scheme's own: read by load tasks and by other drivers.
_SHARED_PREFIXES = ("load_task.", "opendal.")

# Schemes of Curvine (data-plane specification 5.8) that this build cannot serve yet.
_KNOWN_ELSEWHERE = ("s3", "s3a", "oss", "cos", "gcs", "gs", "azure", "azblob", "hdfs", "webhdfs")


class Driver(msgspec.Struct, frozen=True):
    """How a scheme is served: who makes it, which property keys it knows."""

    make: Callable[[str, Mapping[str, str]], Ufs]
    keys: frozenset[str]


_DRIVERS: dict[str, Driver] = {
    "file": Driver(lambda uri, _: PosixUfs(uri), frozenset({"file.chunk_size"})),
}


def scheme_of(uri: str) -> str:
    """The scheme in lower case. InvalidArgument when ``uri`` has none."""
    scheme, separator, _ = uri.partition("://")
    if not separator or not scheme:
        raise InvalidArgument(f"{uri!r} is not an under-storage URI; write scheme://...")
    return scheme.lower()


def supported_schemes() -> tuple[str, ...]:
    """What open_ufs accepts."""
    return tuple(sorted(_DRIVERS))


def check_properties(uri: str, properties: Mapping[str, str]) -> None:
    """Unsupported for a scheme without a driver, InvalidArgument for keys that mean nothing."""
    driver = _driver(uri)
    for key in properties:
        if key in driver.keys or key == EXPOSE or key.startswith(_SHARED_PREFIXES):
            continue
        near = difflib.get_close_matches(key, sorted(driver.keys), 1)
        hint = f"; did you mean {near[0]}?" if near else _known(scheme_of(uri), driver)
        raise InvalidArgument(f"property {key!r} means nothing to {scheme_of(uri)}://{hint}")


def open_ufs(uri: str, properties: Mapping[str, str] | None = None) -> Ufs:
    """The under storage at ``uri``. Nothing is contacted before the first call.

    References to credentials are resolved here, on the node that uses them.
    """
    properties = properties or {}
    check_properties(uri, properties)
    return _driver(uri).make(uri, resolved(properties))


def _driver(uri: str) -> Driver:
    scheme = scheme_of(uri)
    driver = _DRIVERS.get(scheme)
    if driver is not None:
        return driver
    served = ", ".join(f"{name}://" for name in supported_schemes())
    if scheme in _KNOWN_ELSEWHERE:
        raise Unsupported(
            f"{scheme}:// is not served by this release ({served} is); mount the store on every "
            "node and its workers, and use file:// with that directory"
        )
    raise Unsupported(f"{scheme}:// is no under storage that is known here; {served} is served")


def _known(scheme: str, driver: Driver) -> str:
    return f"; {scheme}:// knows {', '.join(sorted(driver.keys))}"
