from curvine.wire.pb import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitBlockReplicationRequest(_message.Message):
    __slots__ = ("block_id", "target_worker_info", "attempt")
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_WORKER_INFO_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    block_id: int
    target_worker_info: _common_pb2.WorkerAddressProto
    attempt: int
    def __init__(self, block_id: _Optional[int] = ..., target_worker_info: _Optional[_Union[_common_pb2.WorkerAddressProto, _Mapping]] = ..., attempt: _Optional[int] = ...) -> None: ...

class SubmitBlockReplicationResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class ReportBlockReplicationRequest(_message.Message):
    __slots__ = ("block_id", "storage_type", "success", "message", "attempt", "block_len", "target_worker_id", "source_failed")
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_LEN_FIELD_NUMBER: _ClassVar[int]
    TARGET_WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FAILED_FIELD_NUMBER: _ClassVar[int]
    block_id: int
    storage_type: _common_pb2.StorageTypeProto
    success: bool
    message: str
    attempt: int
    block_len: int
    target_worker_id: int
    source_failed: bool
    def __init__(self, block_id: _Optional[int] = ..., storage_type: _Optional[_Union[_common_pb2.StorageTypeProto, str]] = ..., success: _Optional[bool] = ..., message: _Optional[str] = ..., attempt: _Optional[int] = ..., block_len: _Optional[int] = ..., target_worker_id: _Optional[int] = ..., source_failed: _Optional[bool] = ...) -> None: ...

class ReportBlockReplicationResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...
