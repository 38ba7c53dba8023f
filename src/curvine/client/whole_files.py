# SPDX-License-Identifier: Apache-2.0
"""Files read and written as a whole: the client's own take short cuts for small ones."""

from __future__ import annotations

from curvine.client.files import ReadableFile, WritableFile
from curvine.client.local_file import Buffer, Data
from curvine.client.reader import FileReader
from curvine.client.writer import FileWriter


async def read_whole(reader: ReadableFile) -> Data:
    """All bytes of a file; closes the reader."""
    try:
        if isinstance(reader, FileReader):
            return await reader.read_all()
        return await reader.read(0, reader.length)
    finally:
        await reader.close()


async def write_whole(writer: WritableFile, data: Buffer) -> None:
    """Fill a new file with ``data`` and close it; what fails is given up."""
    try:
        if isinstance(writer, FileWriter):
            await writer.put(data)
        else:
            await writer.write(0, data)
    except BaseException:
        await writer.abort()
        raise
    await writer.close()
