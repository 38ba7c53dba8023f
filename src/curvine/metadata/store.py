# SPDX-License-Identifier: Apache-2.0
"""The one module that knows RocksDB: atomic batches, gets, scans, the log's fsync.

A committed batch is in the write-ahead log (a write(2) to the page cache) before ``commit``
returns, so it survives the death of the process; ``sync_log`` carries it to the medium. Options
are chosen for uniform random access to tens of millions of small records in bounded memory: 4 KiB
blocks with a hash index inside, Bloom filters, one block cache for data, memtables charged to one
budget. Sizes are bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DataBlockIndexType,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from curvine.errors import CurvineError, DiskOutOfSpace, IoFailed
from curvine.metadata.keys import TABLE_NAMES, Table

_BIG_TABLES = frozenset({Table.INODE, Table.ENTRY, Table.BLOCK, Table.WORKER_BLOCK})
_HITS = frozenset({Table.INODE, Table.BLOCK})  # read by ids that exist: no filter at the bottom
_MIB = 1 << 20


class StoreOptions(msgspec.Struct, frozen=True, gc=False):
    """Memory and layout of the store. The defaults hold 10 million files under 1 GiB resident."""

    block_cache: int = 512 * _MIB
    memtable_budget: int = 192 * _MIB
    big_memtable: int = 32 * _MIB
    small_memtable: int = 4 * _MIB
    max_open_files: int = 1024
    max_wal: int = 256 * _MIB
    background_jobs: int = 2


class Store:
    """Tables of bytes. Not thread-safe but for :meth:`sync_log`."""

    def __init__(self, path: str, options: StoreOptions | None = None) -> None:
        options = options or StoreOptions()
        os.makedirs(path, mode=0o700, exist_ok=True)  # mount rows may hold credentials
        cache = Cache(options.block_cache)
        families = {
            table.name.lower(): _family(options, cache, table in _BIG_TABLES, table in _HITS)
            for table in Table
        }
        try:
            self._db = Rdict(path, _database(options, cache), families, AccessType.read_write())
        except Exception as error:
            raise _translate(error, f"cannot open the metadata store in {path}") from error
        self._path = path
        self._tables = [self._db.get_column_family(name) for name in TABLE_NAMES]
        self._handles = [self._db.get_column_family_handle(name) for name in TABLE_NAMES]
        self._gets = [table.get for table in self._tables]
        self._write_options = WriteOptions()

    @property
    def is_open(self) -> bool:
        """Whether the store can be used."""
        return bool(self._tables)

    def get(self, table: int, key: bytes) -> bytes | None:
        """The value of ``key``, or None."""
        value: bytes | None = self._gets[table](key)
        return value

    def get_many(self, table: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values of ``keys`` in their order."""
        if not keys:
            return []
        return cast("list[bytes | None]", self._gets[table](list(keys)))

    def scan(self, table: int, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) from ``first`` on, before ``end``; a consistent view of the moment.

        rocksdict keeps a bare pointer to the bytes of the bound: ``end`` has to live as long as
        the iterator, which :func:`_holding` sees to.
        """
        read = ReadOptions()
        if end is not None:
            read.set_iterate_upper_bound(end)
        rows = self._tables[table].items(from_key=first, read_opt=read)
        return _holding(cast("Iterator[tuple[bytes, bytes]]", rows), (read, end))

    def commit(self, rows: Iterable[tuple[int, bytes, bytes | None]]) -> None:
        """Put (table, key, value), delete where the value is None; in order, atomically.

        On an error nothing has changed.
        """
        batch = WriteBatch(raw_mode=True)
        handles = self._handles
        put = batch.put
        for table, key, value in rows:
            if value is None:
                batch.delete(key, handles[table])
            else:
                put(key, value, handles[table])
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise _translate(error, "the metadata store refused a write") from error

    def drop_range(self, table: int, first: bytes, end: bytes) -> None:
        """Remove every key from ``first`` on, before ``end``."""
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(first, end, self._handles[table])
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise _translate(error, "the metadata store refused a write") from error

    def sync_log(self) -> None:
        """fsync the log: everything committed before the call is on the medium. Any thread."""
        try:
            self._db.flush_wal(True)
        except Exception as error:
            raise _translate(error, "the metadata log cannot be synced") from error

    def checkpoint(self, path: str) -> None:
        """A consistent copy of the store in a new directory (hard links where possible)."""
        try:
            Checkpoint(self._db).create_checkpoint(path)
        except Exception as error:
            raise _translate(error, f"cannot write a checkpoint to {path}") from error

    def flush(self) -> None:
        """Write memtables to table files, so that the next start replays no log."""
        for table in self._tables:
            table.flush(True)

    def estimated_rows(self, table: int) -> int:
        """About how many rows a table has; costs nothing."""
        return int(self._tables[table].property_int_value("rocksdb.estimate-num-keys") or 0)

    def memory(self) -> dict[str, int]:
        """Bytes by use, for metrics."""
        names = ("rocksdb.cur-size-all-mem-tables", "rocksdb.estimate-table-readers-mem")
        usage = dict.fromkeys(names, 0)
        for table in self._tables:
            for name in names:
                usage[name] += int(table.property_int_value(name) or 0)
        usage["rocksdb.block-cache-usage"] = int(
            self._tables[Table.INODE].property_int_value("rocksdb.block-cache-usage") or 0
        )
        return usage

    def close(self) -> None:
        """Sync the log and let go of the files. Harmless when repeated."""
        if self._tables:
            self.sync_log()
            self._gets = []
            self._handles = []
            for table in self._tables:
                table.close()
            self._tables = []
            self._db.close()


def _holding(
    rows: Iterator[tuple[bytes, bytes]], alive: tuple[object, ...]
) -> Iterator[tuple[bytes, bytes]]:
    """``rows``, while ``alive`` stays referenced."""
    yield from rows
    del alive


def _database(options: StoreOptions, cache: Cache) -> Options:
    database = _family(options, cache, big=False)
    database.create_if_missing(True)
    database.create_missing_column_families(True)
    database.set_max_open_files(options.max_open_files)
    database.set_max_background_jobs(options.background_jobs)
    database.set_db_write_buffer_size(options.memtable_budget)
    database.set_max_total_wal_size(options.max_wal)
    # Replay ends at the first record that does not check (torn by a power cut): never a gap.
    database.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    database.set_bytes_per_sync(_MIB)
    database.set_keep_log_file_num(4)
    database.set_max_log_file_size(4 * _MIB)
    database.set_stats_dump_period_sec(0)
    database.set_skip_stats_update_on_db_open(True)
    return database


def _family(options: StoreOptions, cache: Cache, big: bool, hits: bool = False) -> Options:
    table = BlockBasedOptions()
    table.set_block_size(4096)
    table.set_block_cache(cache)
    table.set_bloom_filter(10, False)
    # Index and filter stay outside the cache, about 7 bytes a file: as blocks of a megabyte each
    # they would drive each other out of its shards (68 KB read a lookup at 10 million files), cut
    # into pieces they cost three more look-ups in it each time.
    table.set_cache_index_and_filter_blocks(False)
    table.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    table.set_data_block_hash_ratio(0.75)
    table.set_format_version(5)
    family = Options(raw_mode=True)
    family.set_block_based_table_factory(table)
    family.set_optimize_filters_for_hits(hits)
    family.set_write_buffer_size(options.big_memtable if big else options.small_memtable)
    family.set_max_write_buffer_number(3)
    family.set_target_file_size_base(64 * _MIB)
    family.set_max_bytes_for_level_base(256 * _MIB)
    family.set_level_compaction_dynamic_level_bytes(True)
    # The loop must not be stalled by compaction falling behind for a moment.
    family.set_level_zero_slowdown_writes_trigger(40)
    family.set_level_zero_stop_writes_trigger(80)
    family.set_compression_per_level(
        [DBCompressionType.none(), DBCompressionType.none()] + [DBCompressionType.lz4()] * 5
    )
    return family


def _translate(error: Exception, what: str) -> CurvineError:
    text = str(error)
    if "No space left" in text or "NoSpace" in text:
        return DiskOutOfSpace(f"{what}: {text}")
    return IoFailed(f"{what}: {text}")
