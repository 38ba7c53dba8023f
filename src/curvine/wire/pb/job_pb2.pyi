from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobTaskStateProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN: _ClassVar[JobTaskStateProto]
    PENDING: _ClassVar[JobTaskStateProto]
    LOADING: _ClassVar[JobTaskStateProto]
    COMPLETED: _ClassVar[JobTaskStateProto]
    FAILED: _ClassVar[JobTaskStateProto]
    CANCELED: _ClassVar[JobTaskStateProto]
    PARTIAL_SUCCESS: _ClassVar[JobTaskStateProto]

class JobTaskTypeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOAD: _ClassVar[JobTaskTypeProto]
    EXPORT: _ClassVar[JobTaskTypeProto]
UNKNOWN: JobTaskStateProto
PENDING: JobTaskStateProto
LOADING: JobTaskStateProto
COMPLETED: JobTaskStateProto
FAILED: JobTaskStateProto
CANCELED: JobTaskStateProto
PARTIAL_SUCCESS: JobTaskStateProto
LOAD: JobTaskTypeProto
EXPORT: JobTaskTypeProto

class JobTaskProgressProto(_message.Message):
    __slots__ = ("loaded_size", "total_size", "update_time", "state", "message", "retryable", "files_total", "files_done", "files_skipped", "files_failed", "started", "failures")
    LOADED_SIZE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    FILES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    FILES_DONE_FIELD_NUMBER: _ClassVar[int]
    FILES_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    FILES_FAILED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    loaded_size: int
    total_size: int
    update_time: int
    state: int
    message: str
    retryable: bool
    files_total: int
    files_done: int
    files_skipped: int
    files_failed: int
    started: int
    failures: _containers.RepeatedCompositeFieldContainer[JobFailureProto]
    def __init__(self, loaded_size: _Optional[int] = ..., total_size: _Optional[int] = ..., update_time: _Optional[int] = ..., state: _Optional[int] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ..., files_total: _Optional[int] = ..., files_done: _Optional[int] = ..., files_skipped: _Optional[int] = ..., files_failed: _Optional[int] = ..., started: _Optional[int] = ..., failures: _Optional[_Iterable[_Union[JobFailureProto, _Mapping]]] = ...) -> None: ...

class JobFailureProto(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("job_type", "job_command")
    JOB_TYPE_FIELD_NUMBER: _ClassVar[int]
    JOB_COMMAND_FIELD_NUMBER: _ClassVar[int]
    job_type: JobTaskTypeProto
    job_command: bytes
    def __init__(self, job_type: _Optional[_Union[JobTaskTypeProto, str]] = ..., job_command: _Optional[bytes] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job_id", "target_path", "state")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    target_path: str
    state: JobTaskStateProto
    def __init__(self, job_id: _Optional[str] = ..., target_path: _Optional[str] = ..., state: _Optional[_Union[JobTaskStateProto, str]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetJobStatusRequest(_message.Message):
    __slots__ = ("job_id", "verbose")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERBOSE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    verbose: bool
    def __init__(self, job_id: _Optional[str] = ..., verbose: _Optional[bool] = ...) -> None: ...

class GetJobStatusResponse(_message.Message):
    __slots__ = ("job_id", "state", "source_path", "target_path", "progress")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    state: JobTaskStateProto
    source_path: str
    target_path: str
    progress: JobTaskProgressProto
    def __init__(self, job_id: _Optional[str] = ..., state: _Optional[_Union[JobTaskStateProto, str]] = ..., source_path: _Optional[str] = ..., target_path: _Optional[str] = ..., progress: _Optional[_Union[JobTaskProgressProto, _Mapping]] = ...) -> None: ...

class SubmitTaskRequest(_message.Message):
    __slots__ = ("task_type", "task_command")
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    TASK_COMMAND_FIELD_NUMBER: _ClassVar[int]
    task_type: JobTaskTypeProto
    task_command: bytes
    def __init__(self, task_type: _Optional[_Union[JobTaskTypeProto, str]] = ..., task_command: _Optional[bytes] = ...) -> None: ...

class SubmitTaskResponse(_message.Message):
    __slots__ = ("task_id", "accepted", "reject_reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECT_REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    accepted: bool
    reject_reason: str
    def __init__(self, task_id: _Optional[str] = ..., accepted: _Optional[bool] = ..., reject_reason: _Optional[str] = ...) -> None: ...

class TaskReportRequest(_message.Message):
    __slots__ = ("job_id", "task_id", "report")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    task_id: str
    report: JobTaskProgressProto
    def __init__(self, job_id: _Optional[str] = ..., task_id: _Optional[str] = ..., report: _Optional[_Union[JobTaskProgressProto, _Mapping]] = ...) -> None: ...

class TaskReportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
