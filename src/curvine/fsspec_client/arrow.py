# SPDX-License-Identifier: Apache-2.0
"""PyArrow on the cluster: files of this node are Arrow buffers over the worker's pages.

``pyarrow.fs.FSSpecHandler`` gives Arrow every file as a Python object that it calls for each read.
This handler does so for remote files only; a local one is mapped once, and Arrow then reads by
itself, without the GIL and without a copy.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow.fs import FSSpecHandler, PyFileSystem

from curvine.fsspec_client.filesystem import CurvineFileSystem


class CurvineHandler(FSSpecHandler):
    """See the module."""

    def open_input_file(self, path: str) -> Any:
        """A file for random reads."""
        file = self.fs.open(path, "rb")
        if not file.local or not file.size:
            return pa.PythonFile(file, mode="r")
        pages = file.memory_map()
        file.close()
        return pa.BufferReader(pa.py_buffer(pages))

    def open_input_stream(self, path: str) -> Any:
        """A file for reading from its beginning on."""
        return self.open_input_file(path)


def arrow_filesystem(fs: CurvineFileSystem | None = None, **options: Any) -> Any:
    """A ``pyarrow.fs.FileSystem`` over ``fs``, or over one of these storage options."""
    return PyFileSystem(CurvineHandler(fs if fs is not None else CurvineFileSystem(**options)))
