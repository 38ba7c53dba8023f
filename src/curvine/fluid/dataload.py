# SPDX-License-Identifier: Apache-2.0
"""What a DataLoad's job is told, and how it finds the masters (Fluid contract 7.7)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from curvine.errors import ConfigError
from curvine.fluid.cache_config import MASTER_PORT, document_path, read_document

_JOB = re.compile(r"(.+)-(?:data-?load|load|loader)-loader-job(?:-[a-z0-9]+)?")


def wanted_paths(env: Mapping[str, str]) -> tuple[str, ...]:
    """The paths to load, each once."""
    paths = env.get("FLUID_DATALOAD_DATA_PATH", "").split(":")
    return tuple(dict.fromkeys(path for path in paths if path)) or ("/",)


def find_masters(env: Mapping[str, str]) -> str:
    """host:port of the masters, with commas. ConfigError says what to set."""
    given = env.get("CURVINE_MASTER_ENDPOINTS", "").replace(";", ",").strip()
    if given:
        return given
    if os.path.isfile(document_path(env)):
        masters = read_document(document_path(env)).masters()
        if masters:
            return ",".join(f"{host}:{port}" for host, port in masters)
    host = env.get("CURVINE_DATALOAD_MASTER_HOST", "")
    if not host:
        dataset = env.get("CURVINE_DATALOAD_DATASET") or env.get("FLUID_DATASET_NAME") or ""
        job = _JOB.fullmatch(env.get("HOSTNAME", ""))
        dataset = dataset or (job[1] if job else "")
        if not dataset:
            raise ConfigError(
                "no masters are known: set CURVINE_MASTER_ENDPOINTS, CURVINE_DATALOAD_DATASET (the "
                "Dataset's name) or call the DataLoad <dataset>-load"
            )
        host = f"{dataset}-master-0.svc-{dataset}-master"
    return host if ":" in host else f"{host}:{MASTER_PORT}"
