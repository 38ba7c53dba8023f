# SPDX-License-Identifier: Apache-2.0
"""RPC codes and the status byte (control-plane specification sections 1.2 and 3).

Codes 100 to 127 are ours, used only between parts that announced the capability (decision 6).
"""

from __future__ import annotations

from enum import IntEnum

SEQ_NONE = -1  # every master RPC; streams number from 0
REQ_NONE = -1


class RpcCode(IntEnum):
    """The signed byte that says what a frame is about."""

    UNDEFINED = 0
    HEARTBEAT = 1
    MKDIR = 2
    DELETE = 3
    CREATE_FILE = 4
    OPEN_FILE = 5
    APPEND_FILE = 6
    FILE_STATUS = 7
    LIST_STATUS = 8
    EXISTS = 9
    RENAME = 10
    ADD_BLOCK = 11
    COMPLETE_FILE = 12
    GET_BLOCK_LOCATIONS = 13
    GET_FILESYSTEM_INFO = 14
    SET_ATTR = 15
    SYMLINK = 16
    LINK = 17
    RESIZE_FILE = 18
    ASSIGN_WORKER = 19
    GET_LOCK = 20
    SET_LOCK = 21
    LIST_LOCK = 22
    CREATE_FILES_BATCH = 23
    ADD_BLOCKS_BATCH = 24
    COMPLETE_FILES_BATCH = 25
    FREE = 26
    LIST_OPTIONS = 27
    GET_CV_METADATA_SNAPSHOT_PAGE = 28
    GET_CV_METADATA_DELTA_PAGE = 29
    MOUNT = 30
    UN_MOUNT = 31
    UPDATE_MOUNT = 32
    GET_MOUNT_TABLE = 33
    GET_MOUNT_INFO = 34
    SUBMIT_JOB = 35
    GET_JOB_STATUS = 36
    CANCEL_JOB = 37
    REPORT_TASK = 38
    SUBMIT_TASK = 39
    WORKER_HEARTBEAT = 40
    WORKER_BLOCK_REPORT = 41
    SUBMIT_BLOCK_REPLICATION_JOB = 42
    REPORT_BLOCK_REPLICATION_RESULT = 43
    REQUEST_REPLACEMENT_WORKER = 44
    REPORT_UNDER_REPLICATED_BLOCKS = 45
    SUBMIT_TRANSFER = 46
    GET_TRANSFER_STATUS = 47
    CANCEL_TRANSFER = 48
    REPORT_TRANSFER_TASK = 49
    QUERY_TRANSFER_TASK = 50
    WATCH_TRANSFER = 51
    LIST_TRANSFERS = 52
    LIST_TRANSFER_TENANTS = 53
    RETRY_TRANSFER = 54
    METRICS_REPORT = 60
    WRITE_BLOCK = 80
    READ_BLOCK = 81
    WRITE_BLOCKS_BATCH = 82
    WRITE_COMMITS_BATCH = 83
    # ours
    WATCH = 100
    SYNC_METADATA = 101
    AUTH_HELLO = 102
    AUTH_PROOF = 103
    MOUNT_SECRETS = 104
    CONTENT_SUMMARY = 105
    LIST_JOBS = 110
    LIST_EXPORTS = 111
    LOADING_AT = 112
    READ_LOADING = 113  # to workers


class RequestStatus(IntEnum):
    """Low nibble of the status byte."""

    UNDEFINED = -1
    HEARTBEAT = 0
    RPC = 1
    OPEN = 2
    RUNNING = 3
    CANCEL = 4
    COMPLETE = 5


class ResponseStatus(IntEnum):
    """High nibble of the status byte; UNDEFINED = the frame is a request."""

    UNDEFINED = -1
    SUCCESS = 0
    ERROR = 1


# status bytes of requests
RPC = 0xF1
OPEN = 0xF2
RUNNING = 0xF3
CANCEL = 0xF4
COMPLETE = 0xF5
HEARTBEAT = 0xF0
UNDEFINED = 0xFF

# Capability tokens that we announce in ComponentInfoProto.capabilities (decision 4).
CAP_WATCH = "curvine-py.watch.1"
CAP_SYNC = "curvine-py.sync.1"
CAP_LOCAL_FD = "curvine-py.local-fd.1"
CAP_LARGE_BLOCKS = "curvine-py.large-blocks.1"
CAP_REFERENCES = "curvine-py.references.1"
CAP_SUMMARY = "curvine-py.summary.1"  # answers ContentSummary
CAP_EXPECT = "curvine-py.expect.1"  # a rename may say which file it replaces
CAP_EXPECT_DELETE = "curvine-py.expect.2"  # a delete may say which file it means
CAP_LOADING = "curvine-py.loading.1"  # answers LoadingAt
CAP_COPY = "curvine-py.copy.1"  # a report of a copy (43) carries the attempt of its request (42)


def status_byte(request: int, response: int = ResponseStatus.UNDEFINED) -> int:
    """The byte for a pair of statuses. An undefined request swallows the response (0xFF)."""
    return ((request & 0xFF) | (response << 4)) & 0xFF


def request_status(byte: int) -> RequestStatus:
    """The request nibble; numbers outside 0..5 read as UNDEFINED."""
    low = byte & 0x0F
    return RequestStatus(low) if low <= RequestStatus.COMPLETE else RequestStatus.UNDEFINED


def response_status(byte: int) -> ResponseStatus:
    """The response nibble; numbers other than 0 and 1 read as UNDEFINED."""
    high = (byte >> 4) & 0x0F
    return ResponseStatus(high) if high <= ResponseStatus.ERROR else ResponseStatus.UNDEFINED


def success_byte(request_byte: int) -> int:
    """The status byte of a successful reply to a request with ``request_byte``."""
    return request_byte & 0x0F


def error_byte(request_byte: int) -> int:
    """The status byte of an error reply to a request with ``request_byte``."""
    return (request_byte & 0x0F) | 0x10


def code_name(code: int) -> str:
    """A code's name for logs and metrics; unknown ones give "Unknown<n>"."""
    try:
        return "".join(part.capitalize() for part in RpcCode(code).name.split("_"))
    except ValueError:
        return f"Unknown{code}"
