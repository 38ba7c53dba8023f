from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StorageTypeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORAGE_TYPE_PROTO_MEM: _ClassVar[StorageTypeProto]
    STORAGE_TYPE_PROTO_SSD: _ClassVar[StorageTypeProto]
    STORAGE_TYPE_PROTO_HDD: _ClassVar[StorageTypeProto]
    STORAGE_TYPE_PROTO_UFS: _ClassVar[StorageTypeProto]
    STORAGE_TYPE_PROTO_DISK: _ClassVar[StorageTypeProto]
    STORAGE_TYPE_PROTO_SPDK_DISK: _ClassVar[StorageTypeProto]

class TtlActionProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TTL_ACTION_PROTO_NONE: _ClassVar[TtlActionProto]
    TTL_ACTION_PROTO_DELETE: _ClassVar[TtlActionProto]
    TTL_ACTION_PROTO_FREE: _ClassVar[TtlActionProto]

class WriteTypeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WRITE_TYPE_PROTO_CACHE_MODE: _ClassVar[WriteTypeProto]
    WRITE_TYPE_PROTO_FS_MODE: _ClassVar[WriteTypeProto]

class FileTypeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_TYPE_PROTO_DIR: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_FILE: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_LINK: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_STREAM: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_AGG: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_OBJECT: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_FIFO: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_CHAR: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_BLOCK: _ClassVar[FileTypeProto]
    FILE_TYPE_PROTO_SOCKET: _ClassVar[FileTypeProto]

class StorageStateProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORAGE_STATE_PROTO_CV: _ClassVar[StorageStateProto]
    STORAGE_STATE_PROTO_UFS: _ClassVar[StorageStateProto]
    STORAGE_STATE_PROTO_BOTH: _ClassVar[StorageStateProto]

class HeartbeatStatusProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEARTBEAT_STATUS_PROTO_START: _ClassVar[HeartbeatStatusProto]
    HEARTBEAT_STATUS_PROTO_RUNNING: _ClassVar[HeartbeatStatusProto]
    HEARTBEAT_STATUS_PROTO_END: _ClassVar[HeartbeatStatusProto]

class LockTypeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOCK_TYPE_PROTO_READ: _ClassVar[LockTypeProto]
    LOCK_TYPE_PROTO_WRITE: _ClassVar[LockTypeProto]
    LOCK_TYPE_PROTO_UNLOCK: _ClassVar[LockTypeProto]

class LockFlagsProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOCK_FLAGS_PROTO_PLOCK: _ClassVar[LockFlagsProto]
    LOCK_FLAGS_PROTO_FLOCK: _ClassVar[LockFlagsProto]

class CompatibilityModeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPATIBILITY_MODE_PROTO_UNKNOWN: _ClassVar[CompatibilityModeProto]
    COMPATIBILITY_MODE_PROTO_DIAGNOSE: _ClassVar[CompatibilityModeProto]
    COMPATIBILITY_MODE_PROTO_ENFORCE: _ClassVar[CompatibilityModeProto]
STORAGE_TYPE_PROTO_MEM: StorageTypeProto
STORAGE_TYPE_PROTO_SSD: StorageTypeProto
STORAGE_TYPE_PROTO_HDD: StorageTypeProto
STORAGE_TYPE_PROTO_UFS: StorageTypeProto
STORAGE_TYPE_PROTO_DISK: StorageTypeProto
STORAGE_TYPE_PROTO_SPDK_DISK: StorageTypeProto
TTL_ACTION_PROTO_NONE: TtlActionProto
TTL_ACTION_PROTO_DELETE: TtlActionProto
TTL_ACTION_PROTO_FREE: TtlActionProto
WRITE_TYPE_PROTO_CACHE_MODE: WriteTypeProto
WRITE_TYPE_PROTO_FS_MODE: WriteTypeProto
FILE_TYPE_PROTO_DIR: FileTypeProto
FILE_TYPE_PROTO_FILE: FileTypeProto
FILE_TYPE_PROTO_LINK: FileTypeProto
FILE_TYPE_PROTO_STREAM: FileTypeProto
FILE_TYPE_PROTO_AGG: FileTypeProto
FILE_TYPE_PROTO_OBJECT: FileTypeProto
FILE_TYPE_PROTO_FIFO: FileTypeProto
FILE_TYPE_PROTO_CHAR: FileTypeProto
FILE_TYPE_PROTO_BLOCK: FileTypeProto
FILE_TYPE_PROTO_SOCKET: FileTypeProto
STORAGE_STATE_PROTO_CV: StorageStateProto
STORAGE_STATE_PROTO_UFS: StorageStateProto
STORAGE_STATE_PROTO_BOTH: StorageStateProto
HEARTBEAT_STATUS_PROTO_START: HeartbeatStatusProto
HEARTBEAT_STATUS_PROTO_RUNNING: HeartbeatStatusProto
HEARTBEAT_STATUS_PROTO_END: HeartbeatStatusProto
LOCK_TYPE_PROTO_READ: LockTypeProto
LOCK_TYPE_PROTO_WRITE: LockTypeProto
LOCK_TYPE_PROTO_UNLOCK: LockTypeProto
LOCK_FLAGS_PROTO_PLOCK: LockFlagsProto
LOCK_FLAGS_PROTO_FLOCK: LockFlagsProto
COMPATIBILITY_MODE_PROTO_UNKNOWN: CompatibilityModeProto
COMPATIBILITY_MODE_PROTO_DIAGNOSE: CompatibilityModeProto
COMPATIBILITY_MODE_PROTO_ENFORCE: CompatibilityModeProto

class StoragePolicyProto(_message.Message):
    __slots__ = ("storage_type", "ttl_ms", "ttl_action", "ufs_mtime", "state")
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_ACTION_FIELD_NUMBER: _ClassVar[int]
    UFS_MTIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    storage_type: StorageTypeProto
    ttl_ms: int
    ttl_action: TtlActionProto
    ufs_mtime: int
    state: StorageStateProto
    def __init__(self, storage_type: _Optional[_Union[StorageTypeProto, str]] = ..., ttl_ms: _Optional[int] = ..., ttl_action: _Optional[_Union[TtlActionProto, str]] = ..., ufs_mtime: _Optional[int] = ..., state: _Optional[_Union[StorageStateProto, str]] = ...) -> None: ...

class FileStatusProto(_message.Message):
    __slots__ = ("id", "path", "name", "is_dir", "mtime", "atime", "children_num", "is_complete", "len", "replicas", "block_size", "file_type", "x_attr", "storage_policy", "owner", "group", "mode", "target", "nlink", "ctime")
    class XAttrEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_DIR_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    ATIME_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_NUM_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    FILE_TYPE_FIELD_NUMBER: _ClassVar[int]
    X_ATTR_FIELD_NUMBER: _ClassVar[int]
    STORAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NLINK_FIELD_NUMBER: _ClassVar[int]
    CTIME_FIELD_NUMBER: _ClassVar[int]
    id: int
    path: str
    name: str
    is_dir: bool
    mtime: int
    atime: int
    children_num: int
    is_complete: bool
    len: int
    replicas: int
    block_size: int
    file_type: FileTypeProto
    x_attr: _containers.ScalarMap[str, bytes]
    storage_policy: StoragePolicyProto
    owner: str
    group: str
    mode: int
    target: str
    nlink: int
    ctime: int
    def __init__(self, id: _Optional[int] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., is_dir: _Optional[bool] = ..., mtime: _Optional[int] = ..., atime: _Optional[int] = ..., children_num: _Optional[int] = ..., is_complete: _Optional[bool] = ..., len: _Optional[int] = ..., replicas: _Optional[int] = ..., block_size: _Optional[int] = ..., file_type: _Optional[_Union[FileTypeProto, str]] = ..., x_attr: _Optional[_Mapping[str, bytes]] = ..., storage_policy: _Optional[_Union[StoragePolicyProto, _Mapping]] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., mode: _Optional[int] = ..., target: _Optional[str] = ..., nlink: _Optional[int] = ..., ctime: _Optional[int] = ...) -> None: ...

class WorkerAddressProto(_message.Message):
    __slots__ = ("worker_id", "hostname", "ip_addr", "rpc_port", "web_port")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_FIELD_NUMBER: _ClassVar[int]
    RPC_PORT_FIELD_NUMBER: _ClassVar[int]
    WEB_PORT_FIELD_NUMBER: _ClassVar[int]
    worker_id: int
    hostname: str
    ip_addr: str
    rpc_port: int
    web_port: int
    def __init__(self, worker_id: _Optional[int] = ..., hostname: _Optional[str] = ..., ip_addr: _Optional[str] = ..., rpc_port: _Optional[int] = ..., web_port: _Optional[int] = ...) -> None: ...

class BlockInfoProto(_message.Message):
    __slots__ = ("block_id", "len", "locations")
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    block_id: int
    len: int
    locations: _containers.RepeatedCompositeFieldContainer[BlockLocationProto]
    def __init__(self, block_id: _Optional[int] = ..., len: _Optional[int] = ..., locations: _Optional[_Iterable[_Union[BlockLocationProto, _Mapping]]] = ...) -> None: ...

class FileBlockInfoProto(_message.Message):
    __slots__ = ("info", "off")
    INFO_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    info: _containers.RepeatedCompositeFieldContainer[BlockInfoProto]
    off: int
    def __init__(self, info: _Optional[_Iterable[_Union[BlockInfoProto, _Mapping]]] = ..., off: _Optional[int] = ...) -> None: ...

class ExtendedBlockProto(_message.Message):
    __slots__ = ("id", "block_size", "storage_type", "file_type", "alloc_opts")
    ID_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ALLOC_OPTS_FIELD_NUMBER: _ClassVar[int]
    id: int
    block_size: int
    storage_type: StorageTypeProto
    file_type: FileTypeProto
    alloc_opts: FileAllocOptsProto
    def __init__(self, id: _Optional[int] = ..., block_size: _Optional[int] = ..., storage_type: _Optional[_Union[StorageTypeProto, str]] = ..., file_type: _Optional[_Union[FileTypeProto, str]] = ..., alloc_opts: _Optional[_Union[FileAllocOptsProto, _Mapping]] = ...) -> None: ...

class LocatedBlockProto(_message.Message):
    __slots__ = ("block", "offset", "locs", "has_spdk")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOCS_FIELD_NUMBER: _ClassVar[int]
    HAS_SPDK_FIELD_NUMBER: _ClassVar[int]
    block: ExtendedBlockProto
    offset: int
    locs: _containers.RepeatedCompositeFieldContainer[WorkerAddressProto]
    has_spdk: bool
    def __init__(self, block: _Optional[_Union[ExtendedBlockProto, _Mapping]] = ..., offset: _Optional[int] = ..., locs: _Optional[_Iterable[_Union[WorkerAddressProto, _Mapping]]] = ..., has_spdk: _Optional[bool] = ...) -> None: ...

class FileBlocksProto(_message.Message):
    __slots__ = ("status", "block_locs")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_LOCS_FIELD_NUMBER: _ClassVar[int]
    status: FileStatusProto
    block_locs: _containers.RepeatedCompositeFieldContainer[LocatedBlockProto]
    def __init__(self, status: _Optional[_Union[FileStatusProto, _Mapping]] = ..., block_locs: _Optional[_Iterable[_Union[LocatedBlockProto, _Mapping]]] = ...) -> None: ...

class StorageInfoProto(_message.Message):
    __slots__ = ("dir_id", "storage_id", "failed", "capacity", "available", "fs_used", "non_fs_used", "reserved_bytes", "storage_type", "block_num", "dir_path")
    DIR_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    FS_USED_FIELD_NUMBER: _ClassVar[int]
    NON_FS_USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    DIR_PATH_FIELD_NUMBER: _ClassVar[int]
    dir_id: int
    storage_id: str
    failed: bool
    capacity: int
    available: int
    fs_used: int
    non_fs_used: int
    reserved_bytes: int
    storage_type: StorageTypeProto
    block_num: int
    dir_path: str
    def __init__(self, dir_id: _Optional[int] = ..., storage_id: _Optional[str] = ..., failed: _Optional[bool] = ..., capacity: _Optional[int] = ..., available: _Optional[int] = ..., fs_used: _Optional[int] = ..., non_fs_used: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., storage_type: _Optional[_Union[StorageTypeProto, str]] = ..., block_num: _Optional[int] = ..., dir_path: _Optional[str] = ...) -> None: ...

class ClientAddressProto(_message.Message):
    __slots__ = ("client_name", "hostname", "ip_addr", "port")
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    client_name: str
    hostname: str
    ip_addr: str
    port: int
    def __init__(self, client_name: _Optional[str] = ..., hostname: _Optional[str] = ..., ip_addr: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class BlockLocationProto(_message.Message):
    __slots__ = ("worker_id", "storage_type")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    worker_id: int
    storage_type: StorageTypeProto
    def __init__(self, worker_id: _Optional[int] = ..., storage_type: _Optional[_Union[StorageTypeProto, str]] = ...) -> None: ...

class CommitBlockProto(_message.Message):
    __slots__ = ("block_id", "block_len", "locations")
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCK_LEN_FIELD_NUMBER: _ClassVar[int]
    LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    block_id: int
    block_len: int
    locations: _containers.RepeatedCompositeFieldContainer[BlockLocationProto]
    def __init__(self, block_id: _Optional[int] = ..., block_len: _Optional[int] = ..., locations: _Optional[_Iterable[_Union[BlockLocationProto, _Mapping]]] = ...) -> None: ...

class WorkerInfoProto(_message.Message):
    __slots__ = ("address", "capacity", "available", "fs_used", "non_fs_used", "last_update", "storage_map", "reserved_bytes", "weight", "worker_session_id", "transfer_task_submit", "transfer_report_target", "transfer_query_task", "transfer_attempt_safe_output", "transfer_source_read_plan", "software_version", "startup_time_ms", "component_info")
    class StorageMapEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: StorageInfoProto
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[StorageInfoProto, _Mapping]] = ...) -> None: ...
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    FS_USED_FIELD_NUMBER: _ClassVar[int]
    NON_FS_USED_FIELD_NUMBER: _ClassVar[int]
    LAST_UPDATE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_MAP_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_TASK_SUBMIT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_REPORT_TARGET_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_QUERY_TASK_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ATTEMPT_SAFE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SOURCE_READ_PLAN_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTUP_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    address: WorkerAddressProto
    capacity: int
    available: int
    fs_used: int
    non_fs_used: int
    last_update: int
    storage_map: _containers.MessageMap[str, StorageInfoProto]
    reserved_bytes: int
    weight: int
    worker_session_id: str
    transfer_task_submit: bool
    transfer_report_target: bool
    transfer_query_task: bool
    transfer_attempt_safe_output: bool
    transfer_source_read_plan: bool
    software_version: str
    startup_time_ms: int
    component_info: ComponentInfoProto
    def __init__(self, address: _Optional[_Union[WorkerAddressProto, _Mapping]] = ..., capacity: _Optional[int] = ..., available: _Optional[int] = ..., fs_used: _Optional[int] = ..., non_fs_used: _Optional[int] = ..., last_update: _Optional[int] = ..., storage_map: _Optional[_Mapping[str, StorageInfoProto]] = ..., reserved_bytes: _Optional[int] = ..., weight: _Optional[int] = ..., worker_session_id: _Optional[str] = ..., transfer_task_submit: _Optional[bool] = ..., transfer_report_target: _Optional[bool] = ..., transfer_query_task: _Optional[bool] = ..., transfer_attempt_safe_output: _Optional[bool] = ..., transfer_source_read_plan: _Optional[bool] = ..., software_version: _Optional[str] = ..., startup_time_ms: _Optional[int] = ..., component_info: _Optional[_Union[ComponentInfoProto, _Mapping]] = ...) -> None: ...

class FileAllocOptsProto(_message.Message):
    __slots__ = ("truncate", "off", "len", "mode")
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    truncate: bool
    off: int
    len: int
    mode: int
    def __init__(self, truncate: _Optional[bool] = ..., off: _Optional[int] = ..., len: _Optional[int] = ..., mode: _Optional[int] = ...) -> None: ...

class FileLockProto(_message.Message):
    __slots__ = ("client_id", "owner_id", "pid", "acquire_time", "lock_type", "lock_flags", "start", "end")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LOCK_TYPE_FIELD_NUMBER: _ClassVar[int]
    LOCK_FLAGS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    owner_id: int
    pid: int
    acquire_time: int
    lock_type: LockTypeProto
    lock_flags: LockFlagsProto
    start: int
    end: int
    def __init__(self, client_id: _Optional[str] = ..., owner_id: _Optional[int] = ..., pid: _Optional[int] = ..., acquire_time: _Optional[int] = ..., lock_type: _Optional[_Union[LockTypeProto, str]] = ..., lock_flags: _Optional[_Union[LockFlagsProto, str]] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class FreeResultProto(_message.Message):
    __slots__ = ("inodes", "bytes")
    INODES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    inodes: int
    bytes: int
    def __init__(self, inodes: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class ListOptionsProto(_message.Message):
    __slots__ = ("limit", "start_after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    start_after: str
    def __init__(self, limit: _Optional[int] = ..., start_after: _Optional[str] = ...) -> None: ...

class ComponentInfoProto(_message.Message):
    __slots__ = ("component", "release_version", "git_commit", "git_tag", "git_branch", "protocol_version", "min_protocol_version", "capabilities")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    GIT_COMMIT_FIELD_NUMBER: _ClassVar[int]
    GIT_TAG_FIELD_NUMBER: _ClassVar[int]
    GIT_BRANCH_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    component: str
    release_version: str
    git_commit: str
    git_tag: str
    git_branch: str
    protocol_version: int
    min_protocol_version: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, component: _Optional[str] = ..., release_version: _Optional[str] = ..., git_commit: _Optional[str] = ..., git_tag: _Optional[str] = ..., git_branch: _Optional[str] = ..., protocol_version: _Optional[int] = ..., min_protocol_version: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class ServerCompatibilityInfoProto(_message.Message):
    __slots__ = ("server", "min_worker_version", "min_client_version", "compatibility_mode", "blocked_versions")
    SERVER_FIELD_NUMBER: _ClassVar[int]
    MIN_WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_MODE_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    server: ComponentInfoProto
    min_worker_version: str
    min_client_version: str
    compatibility_mode: CompatibilityModeProto
    blocked_versions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, server: _Optional[_Union[ComponentInfoProto, _Mapping]] = ..., min_worker_version: _Optional[str] = ..., min_client_version: _Optional[str] = ..., compatibility_mode: _Optional[_Union[CompatibilityModeProto, str]] = ..., blocked_versions: _Optional[_Iterable[str]] = ...) -> None: ...
