from curvine.wire.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BlockReportStatusProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCK_REPORT_STATUS_PROTO_FINALIZED: _ClassVar[BlockReportStatusProto]
    BLOCK_REPORT_STATUS_PROTO_WRITING: _ClassVar[BlockReportStatusProto]
    BLOCK_REPORT_STATUS_PROTO_DELETED: _ClassVar[BlockReportStatusProto]
BLOCK_REPORT_STATUS_PROTO_FINALIZED: BlockReportStatusProto
BLOCK_REPORT_STATUS_PROTO_WRITING: BlockReportStatusProto
BLOCK_REPORT_STATUS_PROTO_DELETED: BlockReportStatusProto

class BlockWriteRequest(_message.Message):
    __slots__ = ("block", "off", "block_size", "short_circuit", "client_name", "chunk_size", "pipeline_stream", "component_info", "sync", "resume", "only_published")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHORT_CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_STREAM_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    ONLY_PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    block: _common_pb2.ExtendedBlockProto
    off: int
    block_size: int
    short_circuit: bool
    client_name: str
    chunk_size: int
    pipeline_stream: _containers.RepeatedCompositeFieldContainer[_common_pb2.WorkerAddressProto]
    component_info: _common_pb2.ComponentInfoProto
    sync: bool
    resume: bool
    only_published: bool
    def __init__(self, block: _Optional[_Union[_common_pb2.ExtendedBlockProto, _Mapping]] = ..., off: _Optional[int] = ..., block_size: _Optional[int] = ..., short_circuit: _Optional[bool] = ..., client_name: _Optional[str] = ..., chunk_size: _Optional[int] = ..., pipeline_stream: _Optional[_Iterable[_Union[_common_pb2.WorkerAddressProto, _Mapping]]] = ..., component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ..., sync: _Optional[bool] = ..., resume: _Optional[bool] = ..., only_published: _Optional[bool] = ...) -> None: ...

class PipelineStatus(_message.Message):
    __slots__ = ("success", "established_count", "failed_worker", "error_message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ESTABLISHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_WORKER_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    established_count: int
    failed_worker: _common_pb2.WorkerAddressProto
    error_message: str
    def __init__(self, success: _Optional[bool] = ..., established_count: _Optional[int] = ..., failed_worker: _Optional[_Union[_common_pb2.WorkerAddressProto, _Mapping]] = ..., error_message: _Optional[str] = ...) -> None: ...

class BlockWriteResponse(_message.Message):
    __slots__ = ("id", "path", "off", "block_size", "storage_type", "pipeline_status", "unpublished_len", "published_len")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_STATUS_FIELD_NUMBER: _ClassVar[int]
    UNPUBLISHED_LEN_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_LEN_FIELD_NUMBER: _ClassVar[int]
    id: int
    path: str
    off: int
    block_size: int
    storage_type: _common_pb2.StorageTypeProto
    pipeline_status: PipelineStatus
    unpublished_len: int
    published_len: int
    def __init__(self, id: _Optional[int] = ..., path: _Optional[str] = ..., off: _Optional[int] = ..., block_size: _Optional[int] = ..., storage_type: _Optional[_Union[_common_pb2.StorageTypeProto, str]] = ..., pipeline_status: _Optional[_Union[PipelineStatus, _Mapping]] = ..., unpublished_len: _Optional[int] = ..., published_len: _Optional[int] = ...) -> None: ...

class BlockReadRequest(_message.Message):
    __slots__ = ("id", "off", "len", "chunk_size", "short_circuit", "enable_read_ahead", "read_ahead_len", "drop_cache_len", "component_info")
    ID_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHORT_CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    ENABLE_READ_AHEAD_FIELD_NUMBER: _ClassVar[int]
    READ_AHEAD_LEN_FIELD_NUMBER: _ClassVar[int]
    DROP_CACHE_LEN_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    id: int
    off: int
    len: int
    chunk_size: int
    short_circuit: bool
    enable_read_ahead: bool
    read_ahead_len: int
    drop_cache_len: int
    component_info: _common_pb2.ComponentInfoProto
    def __init__(self, id: _Optional[int] = ..., off: _Optional[int] = ..., len: _Optional[int] = ..., chunk_size: _Optional[int] = ..., short_circuit: _Optional[bool] = ..., enable_read_ahead: _Optional[bool] = ..., read_ahead_len: _Optional[int] = ..., drop_cache_len: _Optional[int] = ..., component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ...) -> None: ...

class BlockReadResponse(_message.Message):
    __slots__ = ("id", "len", "path", "storage_type")
    ID_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    id: int
    len: int
    path: str
    storage_type: _common_pb2.StorageTypeProto
    def __init__(self, id: _Optional[int] = ..., len: _Optional[int] = ..., path: _Optional[str] = ..., storage_type: _Optional[_Union[_common_pb2.StorageTypeProto, str]] = ...) -> None: ...

class DataHeaderProto(_message.Message):
    __slots__ = ("offset", "flush", "is_last")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    offset: int
    flush: bool
    is_last: bool
    def __init__(self, offset: _Optional[int] = ..., flush: _Optional[bool] = ..., is_last: _Optional[bool] = ...) -> None: ...

class DeleteBlockCmdProto(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, blocks: _Optional[_Iterable[int]] = ...) -> None: ...

class WorkerCommandProto(_message.Message):
    __slots__ = ("delete_block",)
    DELETE_BLOCK_FIELD_NUMBER: _ClassVar[int]
    delete_block: DeleteBlockCmdProto
    def __init__(self, delete_block: _Optional[_Union[DeleteBlockCmdProto, _Mapping]] = ...) -> None: ...

class WorkerHeartbeatRequest(_message.Message):
    __slots__ = ("cluster_id", "worker_id", "fs_ctime", "address", "failed_dirs", "status", "software_version", "storages", "blocks", "weight", "worker_session_id", "transfer_task_submit", "transfer_report_target", "transfer_query_task", "transfer_attempt_safe_output", "transfer_source_read_plan", "component_info")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    FS_CTIME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FAILED_DIRS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STORAGES_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_TASK_SUBMIT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_REPORT_TARGET_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_QUERY_TASK_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ATTEMPT_SAFE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SOURCE_READ_PLAN_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    worker_id: int
    fs_ctime: int
    address: _common_pb2.WorkerAddressProto
    failed_dirs: int
    status: _common_pb2.HeartbeatStatusProto
    software_version: str
    storages: _containers.RepeatedCompositeFieldContainer[_common_pb2.StorageInfoProto]
    blocks: _containers.RepeatedCompositeFieldContainer[BlockReportInfoProto]
    weight: int
    worker_session_id: str
    transfer_task_submit: bool
    transfer_report_target: bool
    transfer_query_task: bool
    transfer_attempt_safe_output: bool
    transfer_source_read_plan: bool
    component_info: _common_pb2.ComponentInfoProto
    def __init__(self, cluster_id: _Optional[str] = ..., worker_id: _Optional[int] = ..., fs_ctime: _Optional[int] = ..., address: _Optional[_Union[_common_pb2.WorkerAddressProto, _Mapping]] = ..., failed_dirs: _Optional[int] = ..., status: _Optional[_Union[_common_pb2.HeartbeatStatusProto, str]] = ..., software_version: _Optional[str] = ..., storages: _Optional[_Iterable[_Union[_common_pb2.StorageInfoProto, _Mapping]]] = ..., blocks: _Optional[_Iterable[_Union[BlockReportInfoProto, _Mapping]]] = ..., weight: _Optional[int] = ..., worker_session_id: _Optional[str] = ..., transfer_task_submit: _Optional[bool] = ..., transfer_report_target: _Optional[bool] = ..., transfer_query_task: _Optional[bool] = ..., transfer_attempt_safe_output: _Optional[bool] = ..., transfer_source_read_plan: _Optional[bool] = ..., component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ...) -> None: ...

class WorkerHeartbeatResponse(_message.Message):
    __slots__ = ("cmds",)
    CMDS_FIELD_NUMBER: _ClassVar[int]
    cmds: _containers.RepeatedCompositeFieldContainer[WorkerCommandProto]
    def __init__(self, cmds: _Optional[_Iterable[_Union[WorkerCommandProto, _Mapping]]] = ...) -> None: ...

class BlockReportInfoProto(_message.Message):
    __slots__ = ("id", "status", "block_size", "storage_type")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    id: int
    status: BlockReportStatusProto
    block_size: int
    storage_type: _common_pb2.StorageTypeProto
    def __init__(self, id: _Optional[int] = ..., status: _Optional[_Union[BlockReportStatusProto, str]] = ..., block_size: _Optional[int] = ..., storage_type: _Optional[_Union[_common_pb2.StorageTypeProto, str]] = ...) -> None: ...

class BlockReportListRequest(_message.Message):
    __slots__ = ("cluster_id", "worker_id", "full_report", "total_len", "blocks")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    FULL_REPORT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_LEN_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    worker_id: int
    full_report: bool
    total_len: int
    blocks: _containers.RepeatedCompositeFieldContainer[BlockReportInfoProto]
    def __init__(self, cluster_id: _Optional[str] = ..., worker_id: _Optional[int] = ..., full_report: _Optional[bool] = ..., total_len: _Optional[int] = ..., blocks: _Optional[_Iterable[_Union[BlockReportInfoProto, _Mapping]]] = ...) -> None: ...

class BlockReportListResponse(_message.Message):
    __slots__ = ("cmds",)
    CMDS_FIELD_NUMBER: _ClassVar[int]
    cmds: _containers.RepeatedCompositeFieldContainer[WorkerCommandProto]
    def __init__(self, cmds: _Optional[_Iterable[_Union[WorkerCommandProto, _Mapping]]] = ...) -> None: ...

class WriteCommitRequest(_message.Message):
    __slots__ = ("block", "pos", "block_size", "cancel")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    POS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    block: _common_pb2.ExtendedBlockProto
    pos: int
    block_size: int
    cancel: bool
    def __init__(self, block: _Optional[_Union[_common_pb2.ExtendedBlockProto, _Mapping]] = ..., pos: _Optional[int] = ..., block_size: _Optional[int] = ..., cancel: _Optional[bool] = ...) -> None: ...

class WriteBlocksBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[BlockWriteRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[BlockWriteRequest, _Mapping]]] = ...) -> None: ...

class WriteBlocksBatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[BlockWriteResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[BlockWriteResponse, _Mapping]]] = ...) -> None: ...

class WriteCommitsBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[WriteCommitRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[WriteCommitRequest, _Mapping]]] = ...) -> None: ...

class WriteCommitsBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, results: _Optional[_Iterable[bool]] = ...) -> None: ...

class BlocksBatchWriteRequest(_message.Message):
    __slots__ = ("blocks", "off", "block_size", "req_id", "seq_id", "chunk_size", "short_circuit", "client_name", "component_info")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    REQ_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_ID_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHORT_CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[_common_pb2.ExtendedBlockProto]
    off: int
    block_size: int
    req_id: int
    seq_id: int
    chunk_size: int
    short_circuit: bool
    client_name: str
    component_info: _common_pb2.ComponentInfoProto
    def __init__(self, blocks: _Optional[_Iterable[_Union[_common_pb2.ExtendedBlockProto, _Mapping]]] = ..., off: _Optional[int] = ..., block_size: _Optional[int] = ..., req_id: _Optional[int] = ..., seq_id: _Optional[int] = ..., chunk_size: _Optional[int] = ..., short_circuit: _Optional[bool] = ..., client_name: _Optional[str] = ..., component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ...) -> None: ...

class BlocksBatchWriteResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[BlockWriteResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[BlockWriteResponse, _Mapping]]] = ...) -> None: ...

class BlocksBatchCommitRequest(_message.Message):
    __slots__ = ("blocks", "off", "block_size", "req_id", "seq_id", "cancel", "component_info")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    REQ_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_ID_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[_common_pb2.ExtendedBlockProto]
    off: int
    block_size: int
    req_id: int
    seq_id: int
    cancel: bool
    component_info: _common_pb2.ComponentInfoProto
    def __init__(self, blocks: _Optional[_Iterable[_Union[_common_pb2.ExtendedBlockProto, _Mapping]]] = ..., off: _Optional[int] = ..., block_size: _Optional[int] = ..., req_id: _Optional[int] = ..., seq_id: _Optional[int] = ..., cancel: _Optional[bool] = ..., component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ...) -> None: ...

class BlocksBatchCommitResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, results: _Optional[_Iterable[bool]] = ...) -> None: ...

class FilesBatchWriteRequest(_message.Message):
    __slots__ = ("files", "req_id", "seq_id", "component_info")
    FILES_FIELD_NUMBER: _ClassVar[int]
    REQ_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_ID_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileWriteData]
    req_id: int
    seq_id: int
    component_info: _common_pb2.ComponentInfoProto
    def __init__(self, files: _Optional[_Iterable[_Union[FileWriteData, _Mapping]]] = ..., req_id: _Optional[int] = ..., seq_id: _Optional[int] = ..., component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ...) -> None: ...

class FileWriteData(_message.Message):
    __slots__ = ("path", "content")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    content: bytes
    def __init__(self, path: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class FilesBatchWriteResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, results: _Optional[_Iterable[bool]] = ...) -> None: ...
