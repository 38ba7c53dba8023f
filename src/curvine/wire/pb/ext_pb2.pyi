from curvine.wire.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchKindProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WATCH_KIND_PROTO_ATTR: _ClassVar[WatchKindProto]
    WATCH_KIND_PROTO_ENTRY: _ClassVar[WatchKindProto]
WATCH_KIND_PROTO_ATTR: WatchKindProto
WATCH_KIND_PROTO_ENTRY: WatchKindProto

class WatchRequest(_message.Message):
    __slots__ = ("prefixes", "epoch", "skip_own")
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SKIP_OWN_FIELD_NUMBER: _ClassVar[int]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    skip_own: bool
    def __init__(self, prefixes: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., skip_own: _Optional[bool] = ...) -> None: ...

class WatchOpenResponse(_message.Message):
    __slots__ = ("epoch", "reset", "sender")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    reset: bool
    sender: int
    def __init__(self, epoch: _Optional[int] = ..., reset: _Optional[bool] = ..., sender: _Optional[int] = ...) -> None: ...

class WatchEventProto(_message.Message):
    __slots__ = ("kind", "path", "inode_id", "parent_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    INODE_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    kind: WatchKindProto
    path: str
    inode_id: int
    parent_id: int
    def __init__(self, kind: _Optional[_Union[WatchKindProto, str]] = ..., path: _Optional[str] = ..., inode_id: _Optional[int] = ..., parent_id: _Optional[int] = ...) -> None: ...

class WatchEventsProto(_message.Message):
    __slots__ = ("events", "epoch", "reset")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[WatchEventProto]
    epoch: int
    reset: bool
    def __init__(self, events: _Optional[_Iterable[_Union[WatchEventProto, _Mapping]]] = ..., epoch: _Optional[int] = ..., reset: _Optional[bool] = ...) -> None: ...

class SyncMetadataRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SyncMetadataResponse(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class ContentSummaryRequest(_message.Message):
    __slots__ = ("path", "wait_ms")
    PATH_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    path: str
    wait_ms: int
    def __init__(self, path: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ContentSummaryResponse(_message.Message):
    __slots__ = ("files", "directories", "bytes", "cached_bytes", "space_bytes", "complete")
    FILES_FIELD_NUMBER: _ClassVar[int]
    DIRECTORIES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    files: int
    directories: int
    bytes: int
    cached_bytes: int
    space_bytes: int
    complete: bool
    def __init__(self, files: _Optional[int] = ..., directories: _Optional[int] = ..., bytes: _Optional[int] = ..., cached_bytes: _Optional[int] = ..., space_bytes: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class AuthHello(_message.Message):
    __slots__ = ("cluster_id", "nonce")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    nonce: bytes
    def __init__(self, cluster_id: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class AuthChallenge(_message.Message):
    __slots__ = ("nonce", "proofs")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    proofs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, nonce: _Optional[bytes] = ..., proofs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AuthProof(_message.Message):
    __slots__ = ("proof",)
    PROOF_FIELD_NUMBER: _ClassVar[int]
    proof: bytes
    def __init__(self, proof: _Optional[bytes] = ...) -> None: ...

class MountSecretsRequest(_message.Message):
    __slots__ = ("mount_id",)
    MOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    mount_id: int
    def __init__(self, mount_id: _Optional[int] = ...) -> None: ...

class MountSecretProto(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class MountSecretsResponse(_message.Message):
    __slots__ = ("secrets",)
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[MountSecretProto]
    def __init__(self, secrets: _Optional[_Iterable[_Union[MountSecretProto, _Mapping]]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListedJobProto(_message.Message):
    __slots__ = ("kind", "job_id", "state", "source_path", "target_path", "loaded_size", "total_size", "files_total", "files_done", "files_failed", "started", "updated", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    LOADED_SIZE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    FILES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    FILES_DONE_FIELD_NUMBER: _ClassVar[int]
    FILES_FAILED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    job_id: str
    state: int
    source_path: str
    target_path: str
    loaded_size: int
    total_size: int
    files_total: int
    files_done: int
    files_failed: int
    started: int
    updated: int
    message: str
    def __init__(self, kind: _Optional[str] = ..., job_id: _Optional[str] = ..., state: _Optional[int] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., loaded_size: _Optional[int] = ..., total_size: _Optional[int] = ..., files_total: _Optional[int] = ..., files_done: _Optional[int] = ..., files_failed: _Optional[int] = ..., started: _Optional[int] = ..., updated: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[ListedJobProto]
    def __init__(self, jobs: _Optional[_Iterable[_Union[ListedJobProto, _Mapping]]] = ...) -> None: ...

class ListExportsRequest(_message.Message):
    __slots__ = ("path", "limit")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    path: str
    limit: int
    def __init__(self, path: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class WaitingExportProto(_message.Message):
    __slots__ = ("kind", "path", "target", "since", "attempts", "failure", "running")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    kind: str
    path: str
    target: str
    since: int
    attempts: int
    failure: str
    running: bool
    def __init__(self, kind: _Optional[str] = ..., path: _Optional[str] = ..., target: _Optional[str] = ..., since: _Optional[int] = ..., attempts: _Optional[int] = ..., failure: _Optional[str] = ..., running: _Optional[bool] = ...) -> None: ...

class ListExportsResponse(_message.Message):
    __slots__ = ("exports", "waiting", "failing")
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    FAILING_FIELD_NUMBER: _ClassVar[int]
    exports: _containers.RepeatedCompositeFieldContainer[WaitingExportProto]
    waiting: int
    failing: int
    def __init__(self, exports: _Optional[_Iterable[_Union[WaitingExportProto, _Mapping]]] = ..., waiting: _Optional[int] = ..., failing: _Optional[int] = ...) -> None: ...

class LoadingAtRequest(_message.Message):
    __slots__ = ("uri", "start")
    URI_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    uri: str
    start: bool
    def __init__(self, uri: _Optional[str] = ..., start: _Optional[bool] = ...) -> None: ...

class LoadingAtResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: _common_pb2.WorkerAddressProto
    def __init__(self, worker: _Optional[_Union[_common_pb2.WorkerAddressProto, _Mapping]] = ...) -> None: ...

class ReadLoadingRequest(_message.Message):
    __slots__ = ("source", "target", "length", "mtime", "etag", "offset", "size", "wait")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    length: int
    mtime: int
    etag: str
    offset: int
    size: int
    wait: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., length: _Optional[int] = ..., mtime: _Optional[int] = ..., etag: _Optional[str] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ..., wait: _Optional[bool] = ...) -> None: ...

class ReadLoadingResponse(_message.Message):
    __slots__ = ("loading", "there")
    LOADING_FIELD_NUMBER: _ClassVar[int]
    THERE_FIELD_NUMBER: _ClassVar[int]
    loading: bool
    there: bool
    def __init__(self, loading: _Optional[bool] = ..., there: _Optional[bool] = ...) -> None: ...
