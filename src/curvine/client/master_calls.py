# SPDX-License-Identifier: Apache-2.0
"""What every call to the master has in common: its request id, and forgetting what it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from curvine.client.locations import LocationCache
from curvine.model.worker import ClientAddress
from curvine.wire.codes import RpcCode
from curvine.wire.frame import Frame

M = TypeVar("M", bound=Message)


class MasterCaller(Protocol):
    """What the calls need from below: the connector that finds the active master."""

    async def call(self, code: int, header: bytes, *, req_id: int) -> Frame: ...


class MasterCalls:
    """The base of the namespace's calls. ``known``: files that need no call."""

    def __init__(
        self,
        master: MasterCaller,
        client: ClientAddress,
        new_req_id: Callable[[], int],
        known: LocationCache | None = None,
    ) -> None:
        self._master = master
        self._client = client
        self._new_req_id = new_req_id
        self._known = known

    async def _call(
        self,
        code: RpcCode,
        request: Message,
        reply: type[M],
        req_id: int | None = None,
        changed: Sequence[str] = (),
    ) -> M:
        header = request.SerializeToString()
        try:
            frame = await self._master.call(
                code, header, req_id=self._new_req_id() if req_id is None else req_id
            )
        finally:
            if self._known is not None:
                for path in changed:
                    self._known.forget(path)
        return reply.FromString(frame.header)
