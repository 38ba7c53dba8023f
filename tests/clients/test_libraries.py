# SPDX-License-Identifier: Apache-2.0
"""What other libraries do with the cluster through the Python door (make test-clients)."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import zarr

import curvine
from curvine.testing.cluster import MiniCluster

ROWS = 300_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("clients")) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["local", "remote"])
def options(cluster: MiniCluster, request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"config_path": str(cluster.conf_path), "short_circuit": request.param}


@pytest.fixture
def fs(options: dict[str, Any]) -> curvine.CurvineFileSystem:
    return curvine.CurvineFileSystem(**options)


@pytest.fixture
def url(fs: curvine.CurvineFileSystem, request: pytest.FixtureRequest) -> str:
    path = f"/{request.node.name.replace('[', '-').replace(']', '')}"
    fs.mkdir(path)
    return f"cv://{path}"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    numbers = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "value": numbers.random(ROWS),
            "group": numbers.integers(0, 7, ROWS).astype("int32"),
            "text": pd.Series([f"row {n % 1000}" for n in range(ROWS)], dtype="object"),
        }
    )


def test_pandas(frame: pd.DataFrame, url: str, options: dict[str, Any]) -> None:
    few = frame[:1000]
    for name, write, read in (
        ("f.parquet", frame.to_parquet, pd.read_parquet),
        ("f.csv.gz", partial(few.to_csv, index=False), pd.read_csv),
        ("f.json", few.to_json, pd.read_json),
    ):
        write(f"{url}/{name}", storage_options=options)
        found = read(f"{url}/{name}", storage_options=options)
        expected = frame if name.endswith("parquet") else few
        assert len(found) == len(expected)
        assert (found["value"] - expected["value"]).abs().max() < 1e-9
        assert list(found["text"]) == list(expected["text"])


def test_pyarrow(frame: pd.DataFrame, url: str, fs: curvine.CurvineFileSystem) -> None:
    arrow = curvine.arrow_filesystem(fs)
    table = pa.Table.from_pandas(frame)
    place = url.removeprefix("cv://")
    by_group = pyarrow.dataset.partitioning(pa.schema([("group", pa.int32())]), flavor="hive")
    pyarrow.dataset.write_dataset(
        table, f"{place}/set", format="parquet", filesystem=arrow, partitioning=by_group
    )
    found = pyarrow.dataset.dataset(f"{place}/set", filesystem=arrow, partitioning="hive")
    assert found.count_rows() == ROWS
    one = found.to_table(columns=["value"], filter=pyarrow.dataset.field("group") == 3)
    assert one.num_rows == int((frame["group"] == 3).sum())
    pq.write_table(table, f"{place}/f.parquet", filesystem=arrow, row_group_size=50_000)
    again = pickle.loads(pickle.dumps(arrow))  # Ray and Dask send it to their workers
    assert pq.read_table(f"{place}/f.parquet", filesystem=again).equals(table)
    selected = pq.read_table(f"{place}/f.parquet", filesystem=arrow, columns=["id"])
    assert selected["id"].to_numpy().sum() == ROWS * (ROWS - 1) // 2
    info = arrow.get_file_info(f"{place}/f.parquet")
    assert info.size == fs.size(f"{place}/f.parquet") and info.mtime is not None


def test_arrow_reads_local_pages(frame: pd.DataFrame, url: str, fs: Any, options: Any) -> None:
    """An uncompressed Arrow file is used where it lies: no memory is taken for its columns."""
    place = f"{url.removeprefix('cv://')}/f.arrow"
    table = pa.table({"n": np.arange(4_000_000)})
    arrow = curvine.arrow_filesystem(fs)
    with arrow.open_output_stream(place) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    before = pa.total_allocated_bytes()
    with arrow.open_input_file(place) as source:
        found = pa.ipc.open_file(source).read_all()
    if options["short_circuit"]:
        assert pa.total_allocated_bytes() - before < 1_000_000
    fs.rm_file(place)  # the pages stay as long as somebody has them
    assert found.equals(table)


def test_duckdb(frame: pd.DataFrame, url: str, fs: curvine.CurvineFileSystem) -> None:
    db = duckdb.connect()
    db.register_filesystem(fs)
    db.register("frame", frame)
    db.execute(f"COPY (SELECT * FROM frame) TO '{url}/f.parquet' (FORMAT parquet)")
    count, total = db.execute(
        f"SELECT count(*), sum(id) FROM read_parquet('{url}/*.parquet') WHERE \"group\" < 3"
    ).fetchone()
    expected = frame[frame["group"] < 3]
    assert (count, total) == (len(expected), expected["id"].sum())
    db.execute(f"COPY (SELECT * FROM frame LIMIT 10) TO '{url}/f.csv' (HEADER)")
    assert db.execute(f"SELECT count(*) FROM read_csv('{url}/f.csv')").fetchone() == (10,)


def test_zarr(url: str, options: dict[str, Any]) -> None:
    values = np.random.default_rng(2).random((500, 700))
    root = zarr.open_group(url, mode="w", storage_options=options)
    array = root.create_array("a", shape=values.shape, chunks=(100, 100), dtype="f8")
    array[:] = values
    array[10:20, 30:40] = 1.0
    values[10:20, 30:40] = 1.0
    again = zarr.open_group(url, mode="r", storage_options=options)
    assert np.array_equal(again["a"][:], values)
    assert np.array_equal(again["a"][95:205, 3], values[95:205, 3])
    assert list(again.keys()) == ["a"]


def test_hugging_face_datasets(url: str, options: dict[str, Any], tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"n": list(range(1000)), "t": [f"t{n}" for n in range(1000)]})
    rows.save_to_disk(f"{url}/saved", storage_options=options)
    found = datasets.load_from_disk(f"{url}/saved", storage_options=options)
    assert found["n"] == rows["n"] and found[17] == {"n": 17, "t": "t17"}
    rows.to_parquet(f"{url}/f.parquet", storage_options=options)
    for streaming in (False, True):
        loaded = datasets.load_dataset(
            "parquet", data_files=f"{url}/*.parquet", split="train", cache_dir=str(tmp_path),
            storage_options=options, streaming=streaming,
        )  # fmt: skip
        assert [row["n"] for row in loaded] == list(range(1000))


def test_environment_names_the_cluster(
    cluster: MiniCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURVINE_CONF_FILE", str(cluster.conf_path))
    pd.DataFrame({"a": [1, 2]}).to_parquet("cv:///env/f.parquet")
    assert list(pd.read_parquet("curvine:///env/f.parquet")["a"]) == [1, 2]
    assert os.path.isabs(str(cluster.conf_path))


def test_data_loader(fs: curvine.CurvineFileSystem, url: str) -> None:
    data = pytest.importorskip("torch.utils.data", reason="TORCH IS NOT INSTALLED, it is optional")
    names = [f"{url}/{n}" for n in range(200)]
    fs.pipe(dict.fromkeys(names, b"x" * 50))
    files = curvine.FileDataset(fs=fs, paths=names, decode=_length)
    for source in (files, curvine.StreamDataset(files).torch()):
        batches = data.DataLoader(source, batch_size=16, num_workers=4)
        assert sum(int(batch.sum()) for batch in batches) == 200 * 50


def _length(_path: str, data: bytes) -> int:
    return len(data)
