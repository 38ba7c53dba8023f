# SPDX-License-Identifier: Apache-2.0
"""A stream of samples as PyTorch knows it. The one module that imports torch, only when asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from curvine.fsspec_client.dataset import StreamDataset


class TorchStream(IterableDataset):
    """``stream`` for a DataLoader; its worker processes share the files among them."""

    def __init__(self, stream: StreamDataset[Any]) -> None:
        super().__init__()
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)
