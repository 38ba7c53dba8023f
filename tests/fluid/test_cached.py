# SPDX-License-Identifier: Apache-2.0
"""How much of a Dataset is cached: `cv fluid wait` and `report-status`, on a real cluster.

The API server's part is played by an HTTPS server that keeps what it is sent.
"""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from curvine.cli.main import cv
from curvine.client.blocking import BlockingFileSystem
from curvine.fluid import kubernetes
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    """/data is a directory of files of which nothing is cached."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        (source / f"f{number}").write_bytes(b"x" * 4096)
    with MiniCluster(tmp_path / "cluster") as cluster:
        with BlockingFileSystem(cluster.conf()) as fs:
            fs.mount("/data", f"file://{source}", MountOptions(write_type=WriteType.CACHE_MODE))
        yield cluster


@pytest.fixture
def pod(cluster: MiniCluster, tmp_path: Path, monkeypatch: Any) -> str:
    """Fluid's configuration of the Dataset; returns the master's address."""
    host, port = cluster.master_address
    mount = {"mountPoint": "curvine:///data", "name": "curvine",
             "options": {"master-endpoints": f"{host}:{port}"}}  # fmt: skip
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"mounts": [mount], "targetPath": "/runtime-mnt/x"}))
    monkeypatch.setenv("FLUID_RUNTIME_CONFIG_PATH", str(config))
    monkeypatch.setenv("FLUID_RUNTIME_NS", "ml")
    for name in ("CURVINE_CONF_FILE", "CURVINE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return f"{host}:{port}"


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cv, list(arguments))
    return result.exit_code, result.stdout, str(result.exception)


def test_the_gate_opens_when_it_is_warm(pod: str) -> None:
    code, _, error = invoke("fluid", "wait", "--cached", "80%", "--timeout", "1s",
                            "--interval", "200ms")  # fmt: skip
    assert code and "not 80% within 1s: 0 of 16.00KiB are cached" in error
    code, out, _ = invoke("--master-addrs", pod, "fluid", "wait", "--cached", "0", "/data")
    assert (code, out) == (0, "0 of 16.00KiB are cached\n")
    loaded = subprocess.run(
        [sys.executable, "-m", "curvine.cli.main", "--master-addrs", pod, "fluid", "load", "/data"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    code, out, _ = invoke("--master-addrs", pod, "fluid", "load", "/none")
    assert code == 1
    code, out, error = invoke("fluid", "wait", "--timeout", "20s", "--output", "json")
    assert code == 0, error
    assert json.loads(out) == {"files": 4, "size": 16384, "cached": 16384}
    code, _, error = invoke("fluid", "wait", "--cached", "80 percent")
    assert code == 2


class Api:
    """An API server that keeps what it is sent."""

    def __init__(self, account: Path) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.answer = 200
        account.mkdir()
        (account / "token").write_text("the-token\n")
        key, certificate = self_signed()
        (account / "ca.crt").write_bytes(certificate)
        (account / "key.pem").write_bytes(key + certificate)
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.requests.append((self.path, dict(self.headers), body))
                self.send_response(api.answer)
                self.end_headers()
                self.wfile.write(b'{"reason":"Forbidden"}')

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(account / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def self_signed() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def test_the_true_numbers_reach_kubernetes(pod: str, tmp_path: Path, monkeypatch: Any) -> None:
    api = Api(tmp_path / "account")
    try:
        monkeypatch.setattr(kubernetes, "ACCOUNT", str(tmp_path / "account"))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.server.server_port))
        code, out, error = invoke("fluid", "report-status", "curvine-dataset", "--once")
        assert code == 0, error
        assert out == "ml/curvine-dataset: 0.00B (0) of 16.00KiB in 4 files\n"
        (runtime, headers, first), (dataset, _, second) = api.requests
        base = "/apis/data.fluid.io/v1alpha1/namespaces/ml"
        assert runtime == f"{base}/thinruntimes/curvine-dataset/status"
        assert dataset == f"{base}/datasets/curvine-dataset/status"
        assert headers["Authorization"] == "Bearer the-token"
        assert headers["Content-Type"] == "application/merge-patch+json"
        states = first["status"]["cacheStates"]
        assert set(states) == {"cached", "cachedPercentage", "cacheCapacity", "cacheHitRatio"}
        assert states["cacheCapacity"].endswith("iB")
        assert second == {"status": {"ufsTotal": "16.00KiB", "fileNum": "4"}}
        api.answer = 403
        code, _, error = invoke("fluid", "report-status", "curvine-dataset", "--once")
        assert code == 1 and "403" in error and "status-reporter.yaml" in error
    finally:
        api.stop()
