from curvine.wire.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProviderProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVIDER_PROTO_AUTO: _ClassVar[ProviderProto]
    PROVIDER_PROTO_OSS_HDFS: _ClassVar[ProviderProto]
    PROVIDER_PROTO_OPENDAL: _ClassVar[ProviderProto]

class AccessModeProto(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_MODE_PROTO_READ_ONLY: _ClassVar[AccessModeProto]
    ACCESS_MODE_PROTO_READ_WRITE: _ClassVar[AccessModeProto]
PROVIDER_PROTO_AUTO: ProviderProto
PROVIDER_PROTO_OSS_HDFS: ProviderProto
PROVIDER_PROTO_OPENDAL: ProviderProto
ACCESS_MODE_PROTO_READ_ONLY: AccessModeProto
ACCESS_MODE_PROTO_READ_WRITE: AccessModeProto

class MountInfoProto(_message.Message):
    __slots__ = ("cv_path", "ufs_path", "mount_id", "properties", "ttl_ms", "ttl_action", "read_verify_ufs", "storage_type", "block_size", "replicas", "write_type", "provider", "auto_cache", "access_mode", "write_cache")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CV_PATH_FIELD_NUMBER: _ClassVar[int]
    UFS_PATH_FIELD_NUMBER: _ClassVar[int]
    MOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_ACTION_FIELD_NUMBER: _ClassVar[int]
    READ_VERIFY_UFS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    WRITE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    AUTO_CACHE_FIELD_NUMBER: _ClassVar[int]
    ACCESS_MODE_FIELD_NUMBER: _ClassVar[int]
    WRITE_CACHE_FIELD_NUMBER: _ClassVar[int]
    cv_path: str
    ufs_path: str
    mount_id: int
    properties: _containers.ScalarMap[str, str]
    ttl_ms: int
    ttl_action: _common_pb2.TtlActionProto
    read_verify_ufs: bool
    storage_type: _common_pb2.StorageTypeProto
    block_size: int
    replicas: int
    write_type: _common_pb2.WriteTypeProto
    provider: ProviderProto
    auto_cache: bool
    access_mode: AccessModeProto
    write_cache: bool
    def __init__(self, cv_path: _Optional[str] = ..., ufs_path: _Optional[str] = ..., mount_id: _Optional[int] = ..., properties: _Optional[_Mapping[str, str]] = ..., ttl_ms: _Optional[int] = ..., ttl_action: _Optional[_Union[_common_pb2.TtlActionProto, str]] = ..., read_verify_ufs: _Optional[bool] = ..., storage_type: _Optional[_Union[_common_pb2.StorageTypeProto, str]] = ..., block_size: _Optional[int] = ..., replicas: _Optional[int] = ..., write_type: _Optional[_Union[_common_pb2.WriteTypeProto, str]] = ..., provider: _Optional[_Union[ProviderProto, str]] = ..., auto_cache: _Optional[bool] = ..., access_mode: _Optional[_Union[AccessModeProto, str]] = ..., write_cache: _Optional[bool] = ...) -> None: ...

class MountOptionsProto(_message.Message):
    __slots__ = ("update", "add_properties", "ttl_ms", "ttl_action", "read_verify_ufs", "storage_type", "block_size", "replicas", "remove_properties", "write_type", "provider", "auto_cache", "access_mode", "write_cache")
    class AddPropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    ADD_PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_ACTION_FIELD_NUMBER: _ClassVar[int]
    READ_VERIFY_UFS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    WRITE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    AUTO_CACHE_FIELD_NUMBER: _ClassVar[int]
    ACCESS_MODE_FIELD_NUMBER: _ClassVar[int]
    WRITE_CACHE_FIELD_NUMBER: _ClassVar[int]
    update: bool
    add_properties: _containers.ScalarMap[str, str]
    ttl_ms: int
    ttl_action: _common_pb2.TtlActionProto
    read_verify_ufs: bool
    storage_type: _common_pb2.StorageTypeProto
    block_size: int
    replicas: int
    remove_properties: _containers.RepeatedScalarFieldContainer[str]
    write_type: _common_pb2.WriteTypeProto
    provider: ProviderProto
    auto_cache: bool
    access_mode: AccessModeProto
    write_cache: bool
    def __init__(self, update: _Optional[bool] = ..., add_properties: _Optional[_Mapping[str, str]] = ..., ttl_ms: _Optional[int] = ..., ttl_action: _Optional[_Union[_common_pb2.TtlActionProto, str]] = ..., read_verify_ufs: _Optional[bool] = ..., storage_type: _Optional[_Union[_common_pb2.StorageTypeProto, str]] = ..., block_size: _Optional[int] = ..., replicas: _Optional[int] = ..., remove_properties: _Optional[_Iterable[str]] = ..., write_type: _Optional[_Union[_common_pb2.WriteTypeProto, str]] = ..., provider: _Optional[_Union[ProviderProto, str]] = ..., auto_cache: _Optional[bool] = ..., access_mode: _Optional[_Union[AccessModeProto, str]] = ..., write_cache: _Optional[bool] = ...) -> None: ...

class MountRequest(_message.Message):
    __slots__ = ("cv_path", "ufs_path", "mount_options")
    CV_PATH_FIELD_NUMBER: _ClassVar[int]
    UFS_PATH_FIELD_NUMBER: _ClassVar[int]
    MOUNT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    cv_path: str
    ufs_path: str
    mount_options: MountOptionsProto
    def __init__(self, cv_path: _Optional[str] = ..., ufs_path: _Optional[str] = ..., mount_options: _Optional[_Union[MountOptionsProto, _Mapping]] = ...) -> None: ...

class MountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnMountOptions(_message.Message):
    __slots__ = ("properties",)
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    properties: _containers.ScalarMap[str, str]
    def __init__(self, properties: _Optional[_Mapping[str, str]] = ...) -> None: ...

class UnMountRequest(_message.Message):
    __slots__ = ("cv_path",)
    CV_PATH_FIELD_NUMBER: _ClassVar[int]
    cv_path: str
    def __init__(self, cv_path: _Optional[str] = ...) -> None: ...

class UnMountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMountTableRequest(_message.Message):
    __slots__ = ("references",)
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    references: bool
    def __init__(self, references: _Optional[bool] = ...) -> None: ...

class GetMountTableResponse(_message.Message):
    __slots__ = ("mount_table",)
    MOUNT_TABLE_FIELD_NUMBER: _ClassVar[int]
    mount_table: _containers.RepeatedCompositeFieldContainer[MountInfoProto]
    def __init__(self, mount_table: _Optional[_Iterable[_Union[MountInfoProto, _Mapping]]] = ...) -> None: ...

class GetMountInfoRequest(_message.Message):
    __slots__ = ("path", "references")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    path: str
    references: bool
    def __init__(self, path: _Optional[str] = ..., references: _Optional[bool] = ...) -> None: ...

class GetMountInfoResponse(_message.Message):
    __slots__ = ("mount_info",)
    MOUNT_INFO_FIELD_NUMBER: _ClassVar[int]
    mount_info: MountInfoProto
    def __init__(self, mount_info: _Optional[_Union[MountInfoProto, _Mapping]] = ...) -> None: ...
