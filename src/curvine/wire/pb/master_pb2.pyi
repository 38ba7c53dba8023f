from curvine.wire.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MetricTypeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAUGE: _ClassVar[MetricTypeProto]
    COUNTER: _ClassVar[MetricTypeProto]
GAUGE: MetricTypeProto
COUNTER: MetricTypeProto

class MkdirOptsProto(_message.Message):
    __slots__ = ("create_parent", "mode", "x_attr", "storage_policy", "owner", "group")
    class XAttrEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    CREATE_PARENT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    X_ATTR_FIELD_NUMBER: _ClassVar[int]
    STORAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    create_parent: bool
    mode: int
    x_attr: _containers.ScalarMap[str, bytes]
    storage_policy: _common_pb2.StoragePolicyProto
    owner: str
    group: str
    def __init__(self, create_parent: _Optional[bool] = ..., mode: _Optional[int] = ..., x_attr: _Optional[_Mapping[str, bytes]] = ..., storage_policy: _Optional[_Union[_common_pb2.StoragePolicyProto, _Mapping]] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class MkdirRequest(_message.Message):
    __slots__ = ("path", "opts")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    path: str
    opts: MkdirOptsProto
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[MkdirOptsProto, _Mapping]] = ...) -> None: ...

class MkdirResponse(_message.Message):
    __slots__ = ("flag", "status")
    FLAG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    flag: bool
    status: _common_pb2.FileStatusProto
    def __init__(self, flag: _Optional[bool] = ..., status: _Optional[_Union[_common_pb2.FileStatusProto, _Mapping]] = ...) -> None: ...

class CreateFileOptsProto(_message.Message):
    __slots__ = ("create_flag", "create_parent", "file_type", "replicas", "block_size", "x_attr", "storage_policy", "client_name", "mode", "owner", "group", "sync_ufs_meta", "ufs_len")
    class XAttrEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    CREATE_FLAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_PARENT_FIELD_NUMBER: _ClassVar[int]
    FILE_TYPE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    X_ATTR_FIELD_NUMBER: _ClassVar[int]
    STORAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SYNC_UFS_META_FIELD_NUMBER: _ClassVar[int]
    UFS_LEN_FIELD_NUMBER: _ClassVar[int]
    create_flag: int
    create_parent: bool
    file_type: _common_pb2.FileTypeProto
    replicas: int
    block_size: int
    x_attr: _containers.ScalarMap[str, bytes]
    storage_policy: _common_pb2.StoragePolicyProto
    client_name: str
    mode: int
    owner: str
    group: str
    sync_ufs_meta: bool
    ufs_len: int
    def __init__(self, create_flag: _Optional[int] = ..., create_parent: _Optional[bool] = ..., file_type: _Optional[_Union[_common_pb2.FileTypeProto, str]] = ..., replicas: _Optional[int] = ..., block_size: _Optional[int] = ..., x_attr: _Optional[_Mapping[str, bytes]] = ..., storage_policy: _Optional[_Union[_common_pb2.StoragePolicyProto, _Mapping]] = ..., client_name: _Optional[str] = ..., mode: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., sync_ufs_meta: _Optional[bool] = ..., ufs_len: _Optional[int] = ...) -> None: ...

class CreateFileRequest(_message.Message):
    __slots__ = ("path", "opts", "flags", "first_block_for", "exclude_workers")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    FIRST_BLOCK_FOR_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    path: str
    opts: CreateFileOptsProto
    flags: int
    first_block_for: _common_pb2.ClientAddressProto
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[CreateFileOptsProto, _Mapping]] = ..., flags: _Optional[int] = ..., first_block_for: _Optional[_Union[_common_pb2.ClientAddressProto, _Mapping]] = ..., exclude_workers: _Optional[_Iterable[int]] = ...) -> None: ...

class CreateFileResponse(_message.Message):
    __slots__ = ("file_status", "first_block")
    FILE_STATUS_FIELD_NUMBER: _ClassVar[int]
    FIRST_BLOCK_FIELD_NUMBER: _ClassVar[int]
    file_status: _common_pb2.FileStatusProto
    first_block: _common_pb2.LocatedBlockProto
    def __init__(self, file_status: _Optional[_Union[_common_pb2.FileStatusProto, _Mapping]] = ..., first_block: _Optional[_Union[_common_pb2.LocatedBlockProto, _Mapping]] = ...) -> None: ...

class CreateFilesBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[CreateFileRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[CreateFileRequest, _Mapping]]] = ...) -> None: ...

class CreateFilesBatchResponse(_message.Message):
    __slots__ = ("file_statuses",)
    FILE_STATUSES_FIELD_NUMBER: _ClassVar[int]
    file_statuses: _containers.RepeatedCompositeFieldContainer[_common_pb2.FileStatusProto]
    def __init__(self, file_statuses: _Optional[_Iterable[_Union[_common_pb2.FileStatusProto, _Mapping]]] = ...) -> None: ...

class CompleteFilesBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[CompleteFileRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[CompleteFileRequest, _Mapping]]] = ...) -> None: ...

class CompleteFilesBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, results: _Optional[_Iterable[bool]] = ...) -> None: ...

class OpenFileRequest(_message.Message):
    __slots__ = ("path", "opts", "flags", "first_block_for", "exclude_workers")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    FIRST_BLOCK_FOR_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    path: str
    opts: CreateFileOptsProto
    flags: int
    first_block_for: _common_pb2.ClientAddressProto
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[CreateFileOptsProto, _Mapping]] = ..., flags: _Optional[int] = ..., first_block_for: _Optional[_Union[_common_pb2.ClientAddressProto, _Mapping]] = ..., exclude_workers: _Optional[_Iterable[int]] = ...) -> None: ...

class OpenFileResponse(_message.Message):
    __slots__ = ("file_blocks", "first_block")
    FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    FIRST_BLOCK_FIELD_NUMBER: _ClassVar[int]
    file_blocks: _common_pb2.FileBlocksProto
    first_block: _common_pb2.LocatedBlockProto
    def __init__(self, file_blocks: _Optional[_Union[_common_pb2.FileBlocksProto, _Mapping]] = ..., first_block: _Optional[_Union[_common_pb2.LocatedBlockProto, _Mapping]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("path", "recursive", "expected_id", "expected_mtime")
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_MTIME_FIELD_NUMBER: _ClassVar[int]
    path: str
    recursive: bool
    expected_id: int
    expected_mtime: int
    def __init__(self, path: _Optional[str] = ..., recursive: _Optional[bool] = ..., expected_id: _Optional[int] = ..., expected_mtime: _Optional[int] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("res",)
    RES_FIELD_NUMBER: _ClassVar[int]
    res: _common_pb2.FreeResultProto
    def __init__(self, res: _Optional[_Union[_common_pb2.FreeResultProto, _Mapping]] = ...) -> None: ...

class FreeRequest(_message.Message):
    __slots__ = ("path", "recursive")
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    path: str
    recursive: bool
    def __init__(self, path: _Optional[str] = ..., recursive: _Optional[bool] = ...) -> None: ...

class FreeResponse(_message.Message):
    __slots__ = ("res",)
    RES_FIELD_NUMBER: _ClassVar[int]
    res: _common_pb2.FreeResultProto
    def __init__(self, res: _Optional[_Union[_common_pb2.FreeResultProto, _Mapping]] = ...) -> None: ...

class GetFileStatusRequest(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class GetFileStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _common_pb2.FileStatusProto
    def __init__(self, status: _Optional[_Union[_common_pb2.FileStatusProto, _Mapping]] = ...) -> None: ...

class ExistsRequest(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class ExistsResponse(_message.Message):
    __slots__ = ("exists",)
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    exists: bool
    def __init__(self, exists: _Optional[bool] = ...) -> None: ...

class ListStatusRequest(_message.Message):
    __slots__ = ("path", "need_location")
    PATH_FIELD_NUMBER: _ClassVar[int]
    NEED_LOCATION_FIELD_NUMBER: _ClassVar[int]
    path: str
    need_location: bool
    def __init__(self, path: _Optional[str] = ..., need_location: _Optional[bool] = ...) -> None: ...

class ListStatusResponse(_message.Message):
    __slots__ = ("statuses",)
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[_common_pb2.FileStatusProto]
    def __init__(self, statuses: _Optional[_Iterable[_Union[_common_pb2.FileStatusProto, _Mapping]]] = ...) -> None: ...

class RenameRequest(_message.Message):
    __slots__ = ("src", "dst", "flags", "expected_id", "expected_mtime")
    SRC_FIELD_NUMBER: _ClassVar[int]
    DST_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_MTIME_FIELD_NUMBER: _ClassVar[int]
    src: str
    dst: str
    flags: int
    expected_id: int
    expected_mtime: int
    def __init__(self, src: _Optional[str] = ..., dst: _Optional[str] = ..., flags: _Optional[int] = ..., expected_id: _Optional[int] = ..., expected_mtime: _Optional[int] = ...) -> None: ...

class RenameResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: bool
    def __init__(self, result: _Optional[bool] = ...) -> None: ...

class AddBlockRequest(_message.Message):
    __slots__ = ("path", "commit_blocks", "exclude_workers", "located", "client_address", "file_len", "last_block", "inode_id")
    PATH_FIELD_NUMBER: _ClassVar[int]
    COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    LOCATED_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FILE_LEN_FIELD_NUMBER: _ClassVar[int]
    LAST_BLOCK_FIELD_NUMBER: _ClassVar[int]
    INODE_ID_FIELD_NUMBER: _ClassVar[int]
    path: str
    commit_blocks: _containers.RepeatedCompositeFieldContainer[_common_pb2.CommitBlockProto]
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    located: bool
    client_address: _common_pb2.ClientAddressProto
    file_len: int
    last_block: _common_pb2.ExtendedBlockProto
    inode_id: int
    def __init__(self, path: _Optional[str] = ..., commit_blocks: _Optional[_Iterable[_Union[_common_pb2.CommitBlockProto, _Mapping]]] = ..., exclude_workers: _Optional[_Iterable[int]] = ..., located: _Optional[bool] = ..., client_address: _Optional[_Union[_common_pb2.ClientAddressProto, _Mapping]] = ..., file_len: _Optional[int] = ..., last_block: _Optional[_Union[_common_pb2.ExtendedBlockProto, _Mapping]] = ..., inode_id: _Optional[int] = ...) -> None: ...

class AddBlockResponse(_message.Message):
    __slots__ = ("block",)
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    block: _common_pb2.LocatedBlockProto
    def __init__(self, block: _Optional[_Union[_common_pb2.LocatedBlockProto, _Mapping]] = ...) -> None: ...

class AddBlocksBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[AddBlockRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[AddBlockRequest, _Mapping]]] = ...) -> None: ...

class AddBlocksBatchResponse(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[_common_pb2.LocatedBlockProto]
    def __init__(self, blocks: _Optional[_Iterable[_Union[_common_pb2.LocatedBlockProto, _Mapping]]] = ...) -> None: ...

class RequestReplacementWorkerRequest(_message.Message):
    __slots__ = ("block_id", "exclude_workers")
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    block_id: int
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, block_id: _Optional[int] = ..., exclude_workers: _Optional[_Iterable[int]] = ...) -> None: ...

class RequestReplacementWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: _common_pb2.WorkerAddressProto
    def __init__(self, worker: _Optional[_Union[_common_pb2.WorkerAddressProto, _Mapping]] = ...) -> None: ...

class ReportUnderReplicatedBlocksRequest(_message.Message):
    __slots__ = ("block_ids", "damaged_on")
    BLOCK_IDS_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_ON_FIELD_NUMBER: _ClassVar[int]
    block_ids: _containers.RepeatedScalarFieldContainer[int]
    damaged_on: int
    def __init__(self, block_ids: _Optional[_Iterable[int]] = ..., damaged_on: _Optional[int] = ...) -> None: ...

class ReportUnderReplicatedBlocksResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class CompleteFileRequest(_message.Message):
    __slots__ = ("path", "len", "client_name", "commit_blocks", "only_flush", "inode_id", "set_attr_opts", "return_file_blocks", "sync", "drop_unused")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    ONLY_FLUSH_FIELD_NUMBER: _ClassVar[int]
    INODE_ID_FIELD_NUMBER: _ClassVar[int]
    SET_ATTR_OPTS_FIELD_NUMBER: _ClassVar[int]
    RETURN_FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    DROP_UNUSED_FIELD_NUMBER: _ClassVar[int]
    path: str
    len: int
    client_name: str
    commit_blocks: _containers.RepeatedCompositeFieldContainer[_common_pb2.CommitBlockProto]
    only_flush: bool
    inode_id: int
    set_attr_opts: SetAttrOptsProto
    return_file_blocks: bool
    sync: bool
    drop_unused: bool
    def __init__(self, path: _Optional[str] = ..., len: _Optional[int] = ..., client_name: _Optional[str] = ..., commit_blocks: _Optional[_Iterable[_Union[_common_pb2.CommitBlockProto, _Mapping]]] = ..., only_flush: _Optional[bool] = ..., inode_id: _Optional[int] = ..., set_attr_opts: _Optional[_Union[SetAttrOptsProto, _Mapping]] = ..., return_file_blocks: _Optional[bool] = ..., sync: _Optional[bool] = ..., drop_unused: _Optional[bool] = ...) -> None: ...

class CompleteFileResponse(_message.Message):
    __slots__ = ("result", "file_blocks")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    result: bool
    file_blocks: _common_pb2.FileBlocksProto
    def __init__(self, result: _Optional[bool] = ..., file_blocks: _Optional[_Union[_common_pb2.FileBlocksProto, _Mapping]] = ...) -> None: ...

class GetBlockLocationsRequest(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class GetBlockLocationsResponse(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _common_pb2.FileBlocksProto
    def __init__(self, blocks: _Optional[_Union[_common_pb2.FileBlocksProto, _Mapping]] = ...) -> None: ...

class GetFilesystemInfoRequest(_message.Message):
    __slots__ = ("component_info",)
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    component_info: _common_pb2.ComponentInfoProto
    def __init__(self, component_info: _Optional[_Union[_common_pb2.ComponentInfoProto, _Mapping]] = ...) -> None: ...

class GetFilesystemInfoResponse(_message.Message):
    __slots__ = ("active_master", "journal_nodes", "inode_dir_num", "inode_file_num", "block_num", "capacity", "available", "fs_used", "non_fs_used", "reserved_bytes", "live_workers", "blacklist_workers", "decommission_workers", "lost_workers", "allocatable_capacity", "allocatable_available", "compatibility")
    ACTIVE_MASTER_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_NODES_FIELD_NUMBER: _ClassVar[int]
    INODE_DIR_NUM_FIELD_NUMBER: _ClassVar[int]
    INODE_FILE_NUM_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    FS_USED_FIELD_NUMBER: _ClassVar[int]
    NON_FS_USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIVE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    BLACKLIST_WORKERS_FIELD_NUMBER: _ClassVar[int]
    DECOMMISSION_WORKERS_FIELD_NUMBER: _ClassVar[int]
    LOST_WORKERS_FIELD_NUMBER: _ClassVar[int]
    ALLOCATABLE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ALLOCATABLE_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    active_master: str
    journal_nodes: _containers.RepeatedScalarFieldContainer[str]
    inode_dir_num: int
    inode_file_num: int
    block_num: int
    capacity: int
    available: int
    fs_used: int
    non_fs_used: int
    reserved_bytes: int
    live_workers: _containers.RepeatedCompositeFieldContainer[_common_pb2.WorkerInfoProto]
    blacklist_workers: _containers.RepeatedCompositeFieldContainer[_common_pb2.WorkerInfoProto]
    decommission_workers: _containers.RepeatedCompositeFieldContainer[_common_pb2.WorkerInfoProto]
    lost_workers: _containers.RepeatedCompositeFieldContainer[_common_pb2.WorkerInfoProto]
    allocatable_capacity: int
    allocatable_available: int
    compatibility: _common_pb2.ServerCompatibilityInfoProto
    def __init__(self, active_master: _Optional[str] = ..., journal_nodes: _Optional[_Iterable[str]] = ..., inode_dir_num: _Optional[int] = ..., inode_file_num: _Optional[int] = ..., block_num: _Optional[int] = ..., capacity: _Optional[int] = ..., available: _Optional[int] = ..., fs_used: _Optional[int] = ..., non_fs_used: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., live_workers: _Optional[_Iterable[_Union[_common_pb2.WorkerInfoProto, _Mapping]]] = ..., blacklist_workers: _Optional[_Iterable[_Union[_common_pb2.WorkerInfoProto, _Mapping]]] = ..., decommission_workers: _Optional[_Iterable[_Union[_common_pb2.WorkerInfoProto, _Mapping]]] = ..., lost_workers: _Optional[_Iterable[_Union[_common_pb2.WorkerInfoProto, _Mapping]]] = ..., allocatable_capacity: _Optional[int] = ..., allocatable_available: _Optional[int] = ..., compatibility: _Optional[_Union[_common_pb2.ServerCompatibilityInfoProto, _Mapping]] = ...) -> None: ...

class SetAttrOptsProto(_message.Message):
    __slots__ = ("recursive", "replicas", "owner", "group", "mode", "atime", "mtime", "ttl_ms", "ttl_action", "add_x_attr", "remove_x_attr", "ufs_mtime")
    class AddXAttrEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ATIME_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_ACTION_FIELD_NUMBER: _ClassVar[int]
    ADD_X_ATTR_FIELD_NUMBER: _ClassVar[int]
    REMOVE_X_ATTR_FIELD_NUMBER: _ClassVar[int]
    UFS_MTIME_FIELD_NUMBER: _ClassVar[int]
    recursive: bool
    replicas: int
    owner: str
    group: str
    mode: int
    atime: int
    mtime: int
    ttl_ms: int
    ttl_action: _common_pb2.TtlActionProto
    add_x_attr: _containers.ScalarMap[str, bytes]
    remove_x_attr: _containers.RepeatedScalarFieldContainer[str]
    ufs_mtime: int
    def __init__(self, recursive: _Optional[bool] = ..., replicas: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., mode: _Optional[int] = ..., atime: _Optional[int] = ..., mtime: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., ttl_action: _Optional[_Union[_common_pb2.TtlActionProto, str]] = ..., add_x_attr: _Optional[_Mapping[str, bytes]] = ..., remove_x_attr: _Optional[_Iterable[str]] = ..., ufs_mtime: _Optional[int] = ...) -> None: ...

class SetAttrRequest(_message.Message):
    __slots__ = ("path", "opts", "unchanged_since")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_SINCE_FIELD_NUMBER: _ClassVar[int]
    path: str
    opts: SetAttrOptsProto
    unchanged_since: int
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[SetAttrOptsProto, _Mapping]] = ..., unchanged_since: _Optional[int] = ...) -> None: ...

class SetAttrResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _common_pb2.FileStatusProto
    def __init__(self, status: _Optional[_Union[_common_pb2.FileStatusProto, _Mapping]] = ...) -> None: ...

class SymlinkRequest(_message.Message):
    __slots__ = ("target", "link", "force", "mode", "owner", "group")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    target: str
    link: str
    force: bool
    mode: int
    owner: str
    group: str
    def __init__(self, target: _Optional[str] = ..., link: _Optional[str] = ..., force: _Optional[bool] = ..., mode: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class SymlinkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinkRequest(_message.Message):
    __slots__ = ("src_path", "dst_path")
    SRC_PATH_FIELD_NUMBER: _ClassVar[int]
    DST_PATH_FIELD_NUMBER: _ClassVar[int]
    src_path: str
    dst_path: str
    def __init__(self, src_path: _Optional[str] = ..., dst_path: _Optional[str] = ...) -> None: ...

class LinkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MetricValueProto(_message.Message):
    __slots__ = ("metric_type", "name", "value", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METRIC_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    metric_type: MetricTypeProto
    name: str
    value: float
    tags: _containers.ScalarMap[str, str]
    def __init__(self, metric_type: _Optional[_Union[MetricTypeProto, str]] = ..., name: _Optional[str] = ..., value: _Optional[float] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class MetricsReportRequest(_message.Message):
    __slots__ = ("instance", "source", "metrics")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    source: str
    metrics: _containers.RepeatedCompositeFieldContainer[MetricValueProto]
    def __init__(self, instance: _Optional[str] = ..., source: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[MetricValueProto, _Mapping]]] = ...) -> None: ...

class MetricsReportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FileResizeRequest(_message.Message):
    __slots__ = ("path", "opts")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    path: str
    opts: _common_pb2.FileAllocOptsProto
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[_common_pb2.FileAllocOptsProto, _Mapping]] = ...) -> None: ...

class FileResizeResponse(_message.Message):
    __slots__ = ("file_blocks",)
    FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    file_blocks: _common_pb2.FileBlocksProto
    def __init__(self, file_blocks: _Optional[_Union[_common_pb2.FileBlocksProto, _Mapping]] = ...) -> None: ...

class AssignWorkerRequest(_message.Message):
    __slots__ = ("path", "block", "exclude_workers", "client_address")
    PATH_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    path: str
    block: _common_pb2.ExtendedBlockProto
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    client_address: _common_pb2.ClientAddressProto
    def __init__(self, path: _Optional[str] = ..., block: _Optional[_Union[_common_pb2.ExtendedBlockProto, _Mapping]] = ..., exclude_workers: _Optional[_Iterable[int]] = ..., client_address: _Optional[_Union[_common_pb2.ClientAddressProto, _Mapping]] = ...) -> None: ...

class AssignWorkerResponse(_message.Message):
    __slots__ = ("block",)
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    block: _common_pb2.LocatedBlockProto
    def __init__(self, block: _Optional[_Union[_common_pb2.LocatedBlockProto, _Mapping]] = ...) -> None: ...

class GetLockRequest(_message.Message):
    __slots__ = ("path", "lock")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    path: str
    lock: _common_pb2.FileLockProto
    def __init__(self, path: _Optional[str] = ..., lock: _Optional[_Union[_common_pb2.FileLockProto, _Mapping]] = ...) -> None: ...

class GetLockResponse(_message.Message):
    __slots__ = ("conflict",)
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    conflict: _common_pb2.FileLockProto
    def __init__(self, conflict: _Optional[_Union[_common_pb2.FileLockProto, _Mapping]] = ...) -> None: ...

class SetLockRequest(_message.Message):
    __slots__ = ("path", "lock")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    path: str
    lock: _common_pb2.FileLockProto
    def __init__(self, path: _Optional[str] = ..., lock: _Optional[_Union[_common_pb2.FileLockProto, _Mapping]] = ...) -> None: ...

class SetLockResponse(_message.Message):
    __slots__ = ("conflict",)
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    conflict: _common_pb2.FileLockProto
    def __init__(self, conflict: _Optional[_Union[_common_pb2.FileLockProto, _Mapping]] = ...) -> None: ...

class ListOptionsRequest(_message.Message):
    __slots__ = ("path", "options")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    path: str
    options: _common_pb2.ListOptionsProto
    def __init__(self, path: _Optional[str] = ..., options: _Optional[_Union[_common_pb2.ListOptionsProto, _Mapping]] = ...) -> None: ...

class ListOptionsResponse(_message.Message):
    __slots__ = ("statuses",)
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[_common_pb2.FileStatusProto]
    def __init__(self, statuses: _Optional[_Iterable[_Union[_common_pb2.FileStatusProto, _Mapping]]] = ...) -> None: ...

class CvMetadataSnapshotEntryProto(_message.Message):
    __slots__ = ("status", "blocks")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    status: _common_pb2.FileStatusProto
    blocks: _common_pb2.FileBlocksProto
    def __init__(self, status: _Optional[_Union[_common_pb2.FileStatusProto, _Mapping]] = ..., blocks: _Optional[_Union[_common_pb2.FileBlocksProto, _Mapping]] = ...) -> None: ...

class GetCvMetadataSnapshotPageRequest(_message.Message):
    __slots__ = ("page_token", "page_size")
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_token: str
    page_size: int
    def __init__(self, page_token: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class GetCvMetadataSnapshotPageResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "epoch")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CvMetadataSnapshotEntryProto]
    next_page_token: str
    epoch: int
    def __init__(self, entries: _Optional[_Iterable[_Union[CvMetadataSnapshotEntryProto, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class CvMetadataDeltaEntryProto(_message.Message):
    __slots__ = ("path", "entry")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    path: str
    entry: CvMetadataSnapshotEntryProto
    def __init__(self, path: _Optional[str] = ..., entry: _Optional[_Union[CvMetadataSnapshotEntryProto, _Mapping]] = ...) -> None: ...

class GetCvMetadataDeltaPageRequest(_message.Message):
    __slots__ = ("from_epoch", "target_epoch", "page_token", "page_size")
    FROM_EPOCH_FIELD_NUMBER: _ClassVar[int]
    TARGET_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    from_epoch: int
    target_epoch: int
    page_token: str
    page_size: int
    def __init__(self, from_epoch: _Optional[int] = ..., target_epoch: _Optional[int] = ..., page_token: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class GetCvMetadataDeltaPageResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "from_epoch", "to_epoch", "full_snapshot_required")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FROM_EPOCH_FIELD_NUMBER: _ClassVar[int]
    TO_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FULL_SNAPSHOT_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CvMetadataDeltaEntryProto]
    next_page_token: str
    from_epoch: int
    to_epoch: int
    full_snapshot_required: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[CvMetadataDeltaEntryProto, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., from_epoch: _Optional[int] = ..., to_epoch: _Optional[int] = ..., full_snapshot_required: _Optional[bool] = ...) -> None: ...
