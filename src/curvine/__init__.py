# SPDX-License-Identifier: Apache-2.0
"""Curvine for Python: a distributed file cache that speaks Curvine's wire protocol.

``__version__`` is our own version. ``CURVINE_RELEASE`` is the Curvine release whose behaviour we
implement; peers are told ``<CURVINE_RELEASE>+py.<__version__>`` (semantic versioning, local part).
"""

__version__ = "0.1.0"
CURVINE_RELEASE = "0.4.1"
ANNOUNCED_VERSION = f"{CURVINE_RELEASE}+py.{__version__}"
