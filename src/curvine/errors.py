# SPDX-License-Identifier: Apache-2.0
"""The one catalogue of errors: a class for each thing that can go wrong.

Each class carries a stable ``code`` (text, for logs and JSON), the ``errno`` that a POSIX door
answers with, and whether trying the same call again can help (``retryable``). Wire numbers live in
``wire.status``, exit codes in ``cli``. Source: control-plane specification, section 2.2 and 2.3.

Where Python has a natural built-in (FileNotFoundError ...), the class is that as well, so a caller
may catch either.
"""

from __future__ import annotations

import errno as _errno
from typing import ClassVar


class CurvineError(Exception):
    """Base of every error of ours. ``message`` is for people and names the thing concerned."""

    code: ClassVar[str] = "common"
    errno: int | None = _errno.EIO  # never None here; OSError declares it so
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Common(CurvineError):
    """Everything that has no kind of its own on the wire (kind 10000)."""


class NotAuthenticated(Common):
    """A peer has no token of the cluster, or another one (docs/adr/0007). On the wire: Common."""

    code = "not_authenticated"
    errno = _errno.EACCES


class IoFailed(CurvineError):
    """A disk or a file failed, or was used outside its bounds."""

    code = "io"


class NoMaster(IoFailed):
    """No master could be reached within the time allowed; on the wire an IO error."""

    code = "no_master"
    retryable = True


class NotLeader(CurvineError):
    """The master that was asked is not the active one."""

    code = "not_leader"
    errno = _errno.EAGAIN
    retryable = True


class RaftFailed(CurvineError):
    """A real Curvine master's consensus layer failed."""

    code = "raft"


class TimedOut(CurvineError, TimeoutError):
    """No answer within the time allowed."""

    code = "timeout"
    errno = _errno.ETIMEDOUT
    retryable = True


class ConnectionLost(CurvineError, ConnectionError):
    """The transport broke before the answer came."""

    code = "connection_lost"
    errno = _errno.EIO
    retryable = True


class DecodeFailed(CurvineError):
    """Bytes that do not parse as the message they claim to be."""

    code = "decode"


class EncodeFailed(CurvineError):
    """A message that cannot be serialised."""

    code = "encode"


class ProtocolViolation(CurvineError):
    """The peer broke the framing; its connection is closed."""

    code = "protocol"


class AlreadyExists(CurvineError, FileExistsError):
    """The name is taken."""

    code = "already_exists"
    errno = _errno.EEXIST


class NotFound(CurvineError, FileNotFoundError):
    """The path does not resolve. Triggers the fall-back to the under storage."""

    code = "not_found"
    errno = _errno.ENOENT


class InvalidFileSize(CurvineError):
    """A length above 2^50 bytes."""

    code = "invalid_file_size"
    errno = _errno.EFBIG


class ParentNotDirectory(CurvineError, NotADirectoryError):
    """The parent of the path is not a directory."""

    code = "parent_not_dir"
    errno = _errno.ENOTDIR


class DirectoryNotEmpty(CurvineError):
    """A directory that must be empty is not."""

    code = "dir_not_empty"
    errno = _errno.ENOTEMPTY


class AbnormalData(CurvineError):
    """Stored data contradict their description."""

    code = "abnormal_data"


class BlockIsWriting(CurvineError):
    """The block has an open writer."""

    code = "block_is_writing"
    errno = _errno.EBUSY


class BlockInfoWrong(CurvineError):
    """A block's description does not fit the request."""

    code = "block_info"


class LeaseLost(CurvineError):
    """The writer's lease is gone."""

    code = "lease"


class InvalidPath(CurvineError, ValueError):
    """A path that no Curvine peer accepts."""

    code = "invalid_path"
    errno = _errno.EINVAL


class DiskOutOfSpace(CurvineError):
    """No room left, on a worker or in the cluster."""

    code = "disk_out_of_space"
    errno = _errno.ENOSPC


class InProgress(CurvineError):
    """The same request id is being executed right now."""

    code = "in_progress"
    errno = _errno.EBUSY


class Unsupported(CurvineError):
    """The operation does not exist here."""

    code = "unsupported"
    errno = _errno.ENOSYS


class UfsFailed(CurvineError):
    """The under storage failed."""

    code = "ufs"


class UfsDenied(UfsFailed):
    """The under storage refused our credentials, or what they may do."""

    code = "ufs_denied"
    errno = _errno.EACCES


class UfsUnavailable(UfsFailed):
    """The under storage could not be reached, or was too busy; the same call may work later."""

    code = "ufs_unavailable"
    retryable = True


class UfsChanged(UfsFailed):
    """A file of the under storage became another one while it was read."""

    code = "ufs_changed"
    errno = _errno.ESTALE


class Expired(CurvineError):
    """The file outlived its time to live. Triggers the fall-back to the under storage."""

    code = "expired"
    errno = _errno.ENOENT


class UnsupportedUfsRead(CurvineError):
    """Direct reads of the under storage are switched off."""

    code = "unsupported_ufs_read"
    errno = _errno.EOPNOTSUPP


class JobNotFound(CurvineError):
    """No job of that id, or it ended long ago."""

    code = "job_not_found"
    errno = _errno.ENOENT


class PipelineFailed(CurvineError):
    """A replica of a write failed."""

    code = "pipeline"


class MinReplicasNotMet(CurvineError):
    """Fewer replicas than asked for."""

    code = "min_replicas"


class IsADirectory(CurvineError, IsADirectoryError):
    """A file was wanted, the path is a directory."""

    code = "is_a_directory"
    errno = _errno.EISDIR


class NotADirectory(CurvineError, NotADirectoryError):
    """A directory was wanted, the path is a file."""

    code = "not_a_directory"
    errno = _errno.ENOTDIR


class InvalidArgument(CurvineError, ValueError):
    """An argument outside what the operation allows."""

    code = "invalid_argument"
    errno = _errno.EINVAL


class BlockNotFound(CurvineError):
    """The worker does not hold the block."""

    code = "block_not_found"


class ReadOnly(CurvineError):
    """A change under a read-only mount."""

    code = "read_only"
    errno = _errno.EROFS


class NoAvailableWorker(CurvineError):
    """No worker can take or serve the block."""

    code = "no_available_worker"


class NoLocalPath(CurvineError):
    """The block has no file behind it."""

    code = "no_local_path"


class TransferFailed(CurvineError):
    """The transfer service of a real Curvine refused (kinds 33 to 36)."""

    code = "transfer"


class ConfigError(CurvineError):
    """Configuration that cannot be used. The message names the key and the way out."""

    code = "config"
    errno = _errno.EINVAL
