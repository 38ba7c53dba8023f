from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransferKindProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSFER_LOAD: _ClassVar[TransferKindProto]
    TRANSFER_EXPORT: _ClassVar[TransferKindProto]

class TransferStateProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSFER_PENDING: _ClassVar[TransferStateProto]
    TRANSFER_PLANNING: _ClassVar[TransferStateProto]
    TRANSFER_DISPATCHING: _ClassVar[TransferStateProto]
    TRANSFER_RUNNING: _ClassVar[TransferStateProto]
    TRANSFER_CANCELING: _ClassVar[TransferStateProto]
    TRANSFER_COMPLETED: _ClassVar[TransferStateProto]
    TRANSFER_FAILED: _ClassVar[TransferStateProto]
    TRANSFER_CANCELED: _ClassVar[TransferStateProto]
    TRANSFER_PARTIAL_SUCCESS: _ClassVar[TransferStateProto]

class TransferTaskStateProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSFER_TASK_PENDING: _ClassVar[TransferTaskStateProto]
    TRANSFER_TASK_RUNNING: _ClassVar[TransferTaskStateProto]
    TRANSFER_TASK_COMPLETED: _ClassVar[TransferTaskStateProto]
    TRANSFER_TASK_FAILED: _ClassVar[TransferTaskStateProto]
    TRANSFER_TASK_CANCELED: _ClassVar[TransferTaskStateProto]
    TRANSFER_TASK_STALE: _ClassVar[TransferTaskStateProto]
TRANSFER_LOAD: TransferKindProto
TRANSFER_EXPORT: TransferKindProto
TRANSFER_PENDING: TransferStateProto
TRANSFER_PLANNING: TransferStateProto
TRANSFER_DISPATCHING: TransferStateProto
TRANSFER_RUNNING: TransferStateProto
TRANSFER_CANCELING: TransferStateProto
TRANSFER_COMPLETED: TransferStateProto
TRANSFER_FAILED: TransferStateProto
TRANSFER_CANCELED: TransferStateProto
TRANSFER_PARTIAL_SUCCESS: TransferStateProto
TRANSFER_TASK_PENDING: TransferTaskStateProto
TRANSFER_TASK_RUNNING: TransferTaskStateProto
TRANSFER_TASK_COMPLETED: TransferTaskStateProto
TRANSFER_TASK_FAILED: TransferTaskStateProto
TRANSFER_TASK_CANCELED: TransferTaskStateProto
TRANSFER_TASK_STALE: TransferTaskStateProto

class TransferProgressProto(_message.Message):
    __slots__ = ("loaded_size", "total_size", "update_time", "message")
    LOADED_SIZE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    loaded_size: int
    total_size: int
    update_time: int
    message: str
    def __init__(self, loaded_size: _Optional[int] = ..., total_size: _Optional[int] = ..., update_time: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class TransferTaskStatusProto(_message.Message):
    __slots__ = ("task_id", "attempt_id", "source_path", "target_path", "worker_id", "worker_session_id", "state", "progress", "retry_count", "updated_at")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RETRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    attempt_id: int
    source_path: str
    target_path: str
    worker_id: int
    worker_session_id: str
    state: TransferTaskStateProto
    progress: TransferProgressProto
    retry_count: int
    updated_at: int
    def __init__(self, task_id: _Optional[str] = ..., attempt_id: _Optional[int] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., worker_id: _Optional[int] = ..., worker_session_id: _Optional[str] = ..., state: _Optional[_Union[TransferTaskStateProto, str]] = ..., progress: _Optional[_Union[TransferProgressProto, _Mapping]] = ..., retry_count: _Optional[int] = ..., updated_at: _Optional[int] = ...) -> None: ...

class TransferTaskSummaryProto(_message.Message):
    __slots__ = ("pending", "running", "completed", "failed", "canceled", "stale", "completed_size")
    PENDING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_SIZE_FIELD_NUMBER: _ClassVar[int]
    pending: int
    running: int
    completed: int
    failed: int
    canceled: int
    stale: int
    completed_size: int
    def __init__(self, pending: _Optional[int] = ..., running: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., canceled: _Optional[int] = ..., stale: _Optional[int] = ..., completed_size: _Optional[int] = ...) -> None: ...

class TransferJobStatusProto(_message.Message):
    __slots__ = ("job_id", "run_id", "kind", "state", "source_path", "target_path", "progress", "submitter", "tenant", "created_at", "updated_at", "owner", "lease_epoch", "lease_expire_at", "cv_metadata_epoch")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_AT_FIELD_NUMBER: _ClassVar[int]
    CV_METADATA_EPOCH_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    kind: TransferKindProto
    state: TransferStateProto
    source_path: str
    target_path: str
    progress: TransferProgressProto
    submitter: str
    tenant: str
    created_at: int
    updated_at: int
    owner: str
    lease_epoch: int
    lease_expire_at: int
    cv_metadata_epoch: int
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ..., kind: _Optional[_Union[TransferKindProto, str]] = ..., state: _Optional[_Union[TransferStateProto, str]] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., progress: _Optional[_Union[TransferProgressProto, _Mapping]] = ..., submitter: _Optional[str] = ..., tenant: _Optional[str] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., owner: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., lease_expire_at: _Optional[int] = ..., cv_metadata_epoch: _Optional[int] = ...) -> None: ...

class SubmitTransferRequest(_message.Message):
    __slots__ = ("kind", "source_path", "target_path", "client_request_id", "submitter", "tenant", "command", "protocol_version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    CLIENT_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: TransferKindProto
    source_path: str
    target_path: str
    client_request_id: str
    submitter: str
    tenant: str
    command: bytes
    protocol_version: int
    def __init__(self, kind: _Optional[_Union[TransferKindProto, str]] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., client_request_id: _Optional[str] = ..., submitter: _Optional[str] = ..., tenant: _Optional[str] = ..., command: _Optional[bytes] = ..., protocol_version: _Optional[int] = ...) -> None: ...

class SubmitTransferResponse(_message.Message):
    __slots__ = ("job_id", "run_id", "state")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    state: TransferStateProto
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ..., state: _Optional[_Union[TransferStateProto, str]] = ...) -> None: ...

class GetTransferStatusRequest(_message.Message):
    __slots__ = ("job_id", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetTransferStatusResponse(_message.Message):
    __slots__ = ("job_id", "run_id", "state", "progress", "tasks", "next_page_token", "kind", "source_path", "target_path", "submitter", "tenant", "created_at", "updated_at", "owner", "lease_epoch", "lease_expire_at", "cv_metadata_epoch", "task_summary")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_AT_FIELD_NUMBER: _ClassVar[int]
    CV_METADATA_EPOCH_FIELD_NUMBER: _ClassVar[int]
    TASK_SUMMARY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    state: TransferStateProto
    progress: TransferProgressProto
    tasks: _containers.RepeatedCompositeFieldContainer[TransferTaskStatusProto]
    next_page_token: str
    kind: TransferKindProto
    source_path: str
    target_path: str
    submitter: str
    tenant: str
    created_at: int
    updated_at: int
    owner: str
    lease_epoch: int
    lease_expire_at: int
    cv_metadata_epoch: int
    task_summary: TransferTaskSummaryProto
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ..., state: _Optional[_Union[TransferStateProto, str]] = ..., progress: _Optional[_Union[TransferProgressProto, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[TransferTaskStatusProto, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., kind: _Optional[_Union[TransferKindProto, str]] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., submitter: _Optional[str] = ..., tenant: _Optional[str] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., owner: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., lease_expire_at: _Optional[int] = ..., cv_metadata_epoch: _Optional[int] = ..., task_summary: _Optional[_Union[TransferTaskSummaryProto, _Mapping]] = ...) -> None: ...

class ListTransfersRequest(_message.Message):
    __slots__ = ("kind", "state", "page_size", "page_token", "submitter", "tenant")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    kind: TransferKindProto
    state: TransferStateProto
    page_size: int
    page_token: str
    submitter: str
    tenant: str
    def __init__(self, kind: _Optional[_Union[TransferKindProto, str]] = ..., state: _Optional[_Union[TransferStateProto, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., submitter: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class ListTransfersResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[TransferJobStatusProto]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[TransferJobStatusProto, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TransferTenantSummaryProto(_message.Message):
    __slots__ = ("tenant", "pending", "executing", "completed", "failed", "canceled", "total", "partial_success")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    EXECUTING_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    pending: int
    executing: int
    completed: int
    failed: int
    canceled: int
    total: int
    partial_success: int
    def __init__(self, tenant: _Optional[str] = ..., pending: _Optional[int] = ..., executing: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., canceled: _Optional[int] = ..., total: _Optional[int] = ..., partial_success: _Optional[int] = ...) -> None: ...

class ListTransferTenantsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTransferTenantsResponse(_message.Message):
    __slots__ = ("tenants", "next_page_token")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[TransferTenantSummaryProto]
    next_page_token: str
    def __init__(self, tenants: _Optional[_Iterable[_Union[TransferTenantSummaryProto, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchTransferRequest(_message.Message):
    __slots__ = ("job_id", "since_updated_at", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    since_updated_at: int
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., since_updated_at: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class WatchTransferResponse(_message.Message):
    __slots__ = ("job_id", "run_id", "state", "progress", "tasks", "next_page_token", "updated_at", "changed", "kind", "source_path", "target_path", "owner", "lease_epoch", "lease_expire_at", "cv_metadata_epoch", "task_summary")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_AT_FIELD_NUMBER: _ClassVar[int]
    CV_METADATA_EPOCH_FIELD_NUMBER: _ClassVar[int]
    TASK_SUMMARY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    state: TransferStateProto
    progress: TransferProgressProto
    tasks: _containers.RepeatedCompositeFieldContainer[TransferTaskStatusProto]
    next_page_token: str
    updated_at: int
    changed: bool
    kind: TransferKindProto
    source_path: str
    target_path: str
    owner: str
    lease_epoch: int
    lease_expire_at: int
    cv_metadata_epoch: int
    task_summary: TransferTaskSummaryProto
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ..., state: _Optional[_Union[TransferStateProto, str]] = ..., progress: _Optional[_Union[TransferProgressProto, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[TransferTaskStatusProto, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., updated_at: _Optional[int] = ..., changed: _Optional[bool] = ..., kind: _Optional[_Union[TransferKindProto, str]] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., owner: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., lease_expire_at: _Optional[int] = ..., cv_metadata_epoch: _Optional[int] = ..., task_summary: _Optional[_Union[TransferTaskSummaryProto, _Mapping]] = ...) -> None: ...

class CancelTransferRequest(_message.Message):
    __slots__ = ("job_id", "run_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ...) -> None: ...

class CancelTransferResponse(_message.Message):
    __slots__ = ("job_id", "state")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    state: TransferStateProto
    def __init__(self, job_id: _Optional[str] = ..., state: _Optional[_Union[TransferStateProto, str]] = ...) -> None: ...

class RetryTransferRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class TransferTaskReportRequest(_message.Message):
    __slots__ = ("job_id", "run_id", "task_id", "attempt_id", "worker_id", "worker_session_id", "state", "progress", "protocol_version")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    task_id: str
    attempt_id: int
    worker_id: int
    worker_session_id: str
    state: TransferTaskStateProto
    progress: TransferProgressProto
    protocol_version: int
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ..., task_id: _Optional[str] = ..., attempt_id: _Optional[int] = ..., worker_id: _Optional[int] = ..., worker_session_id: _Optional[str] = ..., state: _Optional[_Union[TransferTaskStateProto, str]] = ..., progress: _Optional[_Union[TransferProgressProto, _Mapping]] = ..., protocol_version: _Optional[int] = ...) -> None: ...

class TransferTaskReportResponse(_message.Message):
    __slots__ = ("accepted",)
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    def __init__(self, accepted: _Optional[bool] = ...) -> None: ...

class QueryTransferTaskRequest(_message.Message):
    __slots__ = ("job_id", "run_id", "task_id", "attempt_id", "worker_session_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    run_id: int
    task_id: str
    attempt_id: int
    worker_session_id: str
    def __init__(self, job_id: _Optional[str] = ..., run_id: _Optional[int] = ..., task_id: _Optional[str] = ..., attempt_id: _Optional[int] = ..., worker_session_id: _Optional[str] = ...) -> None: ...

class QueryTransferTaskResponse(_message.Message):
    __slots__ = ("found", "state", "progress")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    found: bool
    state: TransferTaskStateProto
    progress: TransferProgressProto
    def __init__(self, found: _Optional[bool] = ..., state: _Optional[_Union[TransferTaskStateProto, str]] = ..., progress: _Optional[_Union[TransferProgressProto, _Mapping]] = ...) -> None: ...
