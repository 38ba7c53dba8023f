# SPDX-License-Identifier: Apache-2.0
"""From a URI and a mount's properties to an implementation.

The scheme table is the one place that knows which implementation serves what. A property that no
implementation knows is named in an error instead of being dropped: a misspelt key would otherwise
show as a failing request much later.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from curvine.errors import InvalidArgument, Unsupported
from curvine.model.credentials import EXPOSE
from curvine.model.ufs_keys import RETRY_KEYS, SCHEMES, SchemeKeys, canonical, missing
from curvine.ufs import drivers
from curvine.ufs.base import Ufs
from curvine.ufs.credentials import resolved
from curvine.ufs.patience import PROBING, Patience, patience_of
from curvine.ufs.posix import PosixUfs

# Keys that may stand beside the scheme's own: read by load tasks and by other drivers.
_SHARED_PREFIXES = ("load_task.", "opendal.")

Make = Callable[[str, Mapping[str, str], Patience], Ufs]

_DRIVERS: dict[str, Make] = {
    "file": lambda uri, _properties, _patience: PosixUfs(uri),
    "s3": drivers.s3,
    "s3a": drivers.s3,
    "gcs": drivers.gcs,
    "gs": drivers.gcs,
    "azblob": drivers.azblob,
    "azure": drivers.azblob,
    "oss": drivers.oss,
    "cos": drivers.cos,
    "http": drivers.http,
    "https": drivers.http,
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


def check_names(uri: str, properties: Mapping[str, str]) -> dict[str, str]:
    """The properties under their canonical names.

    Unsupported for a scheme without a driver; InvalidArgument for keys that mean nothing or that
    contradict each other.
    """
    scheme = scheme_of(uri)
    _driver(scheme)
    known = SCHEMES[scheme]
    for key in properties:
        if key in known.keys or key in known.aliases or key == EXPOSE or key in RETRY_KEYS:
            continue
        if key.startswith(_SHARED_PREFIXES):
            continue
        near = difflib.get_close_matches(key, sorted((*known.keys, *RETRY_KEYS)), 1)
        hint = f"; did you mean {near[0]}?" if near else _known(scheme, known)
        raise InvalidArgument(f"property {key!r} means nothing to {scheme}://{hint}")
    return canonical(scheme, properties)


def check_properties(uri: str, properties: Mapping[str, str]) -> dict[str, str]:
    """As ``check_names``; InvalidArgument for what is missing too."""
    found = check_names(uri, properties)
    lacking = missing(scheme_of(uri), found)
    if lacking:
        raise InvalidArgument(
            f"{uri}: the mount {'property' if len(lacking) == 1 else 'properties'}"
            f" {', '.join(lacking)} must be given (-c KEY=VALUE)"
        )
    return found


def open_ufs(
    uri: str, properties: Mapping[str, str] | None = None, *, probing: bool = False
) -> Ufs:
    """The under storage at ``uri``. Nothing is contacted before the first call.

    References to credentials are resolved here, on the node that uses them. ``probing``: give up
    soon where nothing answers, whatever the properties say.
    """
    found = check_properties(uri, properties or {})
    scheme = scheme_of(uri)
    patience = PROBING if probing else patience_of(SCHEME_PREFIX.get(scheme, scheme), found)
    return _driver(scheme)(uri, resolved(found), patience)


SCHEME_PREFIX = {
    "s3a": "s3",
    "gs": "gcs",
    "azblob": "azure",
    "https": "http",
}  # of the properties, where it differs


def _driver(scheme: str) -> Make:
    driver = _DRIVERS.get(scheme)
    if driver is not None:
        return driver
    served = ", ".join(f"{name}://" for name in supported_schemes())
    raise Unsupported(f"{scheme}:// is no under storage that is known here; {served} are served")


def _known(scheme: str, known: SchemeKeys) -> str:
    return f"; {scheme}:// knows {', '.join(sorted(known.keys))}"
