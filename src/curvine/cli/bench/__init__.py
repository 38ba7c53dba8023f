# SPDX-License-Identifier: Apache-2.0
"""``cv bench``: measuring a cluster through the client library, or any directory."""

from curvine.cli.bench.command import bench

__all__ = ["bench"]
