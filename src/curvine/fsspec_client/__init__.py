# SPDX-License-Identifier: Apache-2.0
"""The Python door: the fsspec file system, files, and what Arrow and data loaders get of them."""

from curvine.fsspec_client.filesystem import CurvineFileSystem

__all__ = ["CurvineFileSystem"]
