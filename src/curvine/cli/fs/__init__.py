# SPDX-License-Identifier: Apache-2.0
"""``cv fs``: files and directories of the cluster."""

from curvine.cli.fs.group import fs

__all__ = ["fs"]
