# SPDX-License-Identifier: Apache-2.0
"""fsspec's own suite for file systems, for both protocols, on a real cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.copy import AbstractCopyTests
from fsspec.tests.abstract.get import AbstractGetTests
from fsspec.tests.abstract.open import AbstractOpenTests
from fsspec.tests.abstract.pipe import AbstractPipeTests
from fsspec.tests.abstract.put import AbstractPutTests

from curvine.fsspec_client import CurvineFileSystem
from curvine.testing.cluster import MiniCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("fsspec")) as running:
        yield running


class _Suite(AbstractFixtures):
    protocol = "cv"

    @pytest.fixture
    def fs(self, cluster: MiniCluster) -> Any:
        return fsspec.filesystem(self.protocol, config_path=str(cluster.conf_path))

    @pytest.fixture
    def fs_path(self, fs: CurvineFileSystem) -> Iterator[str]:
        path = f"{self.protocol}:///suite"
        fs.makedirs(path, exist_ok=True)
        yield path
        fs.rm(path, recursive=True)

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def fs_sanitize_path(self) -> Callable[[str], str]:
        return CurvineFileSystem._strip_protocol


class TestCopyCv(_Suite, AbstractCopyTests):
    pass


class TestGetCv(_Suite, AbstractGetTests):
    pass


class TestPutCv(_Suite, AbstractPutTests):
    pass


class TestOpenCv(_Suite, AbstractOpenTests):
    pass


class TestPipeCv(_Suite, AbstractPipeTests):
    pass


class _Curvine(_Suite):
    protocol = "curvine"


class TestCopyCurvine(_Curvine, AbstractCopyTests):
    pass


class TestGetCurvine(_Curvine, AbstractGetTests):
    pass


class TestPutCurvine(_Curvine, AbstractPutTests):
    pass


class TestOpenCurvine(_Curvine, AbstractOpenTests):
    pass


class TestPipeCurvine(_Curvine, AbstractPipeTests):
    pass
