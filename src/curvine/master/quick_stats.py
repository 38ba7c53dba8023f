# SPDX-License-Identifier: Apache-2.0
"""Stats, the call that a master gets most, answered many at a time before handlers are looked for.

A connection that pipelines gives whole runs of stats to one call: the role, the clock and the epoch
are looked at once a run, and a request that was seen before, byte by byte, has its answer without
being decoded. What is unusual (an error, another status byte, a standby) is left to the handler, in
its place in the order. Answers stay good as ``stat_replies`` says; while the epoch is the same,
there is nothing to look at.
"""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

from google.protobuf.message import DecodeError

from curvine.errors import CurvineError
from curvine.master.services import Services
from curvine.master.stat_replies import LIMIT, fresh_answer
from curvine.metadata.cache import Generations
from curvine.metadata.reads import Known
from curvine.wire.codes import RPC, RequestStatus, RpcCode, code_name
from curvine.wire.frame import OVERHEAD, PREFIX, Frame
from curvine.wire.pb import master_pb2

_RUN = 4  # stats in a row that are worth a look at all of them first
_LONGEST = 1024  # bytes of a request that is kept; there are none but the path in it

_CODE = int(RpcCode.FILE_STATUS)
_STATUS = int(RequestStatus.RPC)  # of a successful answer
_pack = PREFIX.pack


class _Kept(NamedTuple):
    epoch: int  # at which the answer was last known to be good
    answer: bytes
    known: Known


class QuickStats:
    """A ``Quick`` of ``rpc.serving``."""

    def __init__(self, services: Services, limit: int = LIMIT) -> None:
        self._services = services
        self._stats = services.metrics.for_code(_CODE, code_name(_CODE))
        self._kept: Generations[bytes, _Kept] = Generations(limit)

    def __call__(self, frames: list[Frame]) -> list[bytes]:
        """Answers to the stats at the front of ``frames``."""
        answers: list[bytes] = []
        if not frames or frames[0][0] != _CODE or not self._services.is_active:
            return answers
        begun = perf_counter()
        epoch = self._services.namespace.epoch
        get, add = self._kept.get, answers.append
        is_warm = len(frames) < _RUN
        for code, status, req_id, seq_id, header, _ in frames:
            if code != _CODE or status != RPC:
                break
            kept = get(header)
            if kept is not None and kept[0] == epoch:
                answer = kept[1]
            else:
                if not is_warm:
                    self._warm(frames[len(answers) :], epoch)
                    is_warm = True
                found = self._answer(header, kept, epoch)
                if found is None:
                    break
                answer = found
            size = len(answer)
            add(_pack(OVERHEAD + size, size, _CODE, _STATUS, req_id, seq_id) + answer)
        if answers:
            self._stats.add_many(len(answers), perf_counter() - begun)
        return answers

    def _warm(self, frames: list[Frame], epoch: int) -> None:
        """Read together what the stats of a run will read, those without a good answer."""
        get, namespace = self._kept.get, self._services.namespace
        paths = []
        for code, status, _, _, header, _ in frames:
            if code != _CODE or status != RPC:
                break
            kept = get(header)
            if kept is None or not (kept[0] == epoch or namespace.is_unchanged(kept.known)):
                try:
                    path = master_pb2.GetFileStatusRequest.FromString(header).path
                except (DecodeError, UnicodeDecodeError):
                    continue
                if type(path) is str:
                    paths.append(path)
        if len(paths) > 1:
            namespace.warm(paths)

    def _answer(self, header: bytes, kept: _Kept | None, epoch: int) -> bytes | None:
        namespace = self._services.namespace
        if kept is not None and namespace.is_unchanged(kept.known):
            self._kept.put(header, _Kept(epoch, kept.answer, kept.known))
            return kept.answer
        try:
            path = master_pb2.GetFileStatusRequest.FromString(header).path
            if type(path) is not str:  # what is not UTF-8 comes as bytes
                return None
            known, answer = fresh_answer(namespace, path)
        except (CurvineError, DecodeError, UnicodeDecodeError):
            return None  # the handler meets it again, and says it
        if len(header) <= _LONGEST:
            self._kept.put(header, _Kept(epoch, answer, known))
        return answer
