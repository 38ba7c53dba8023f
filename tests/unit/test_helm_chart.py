# SPDX-License-Identifier: Apache-2.0
"""deploy/helm/curvine: every value and helper that templates use exists, and blocks close.

Where `helm` is installed it is asked as well: `helm lint`, and the rendered objects.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from curvine.config.load import load

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "curvine"
TEMPLATES = sorted(CHART.glob("templates/*"))
HELM = shutil.which("helm")


def test_chart() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2" and chart["name"] == CHART.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_template(template: Path) -> None:
    text = template.read_text()
    values: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(r"\.Values\.([\w.]+)", text):
        found = values
        for name in path.split("."):
            assert name in found, f".Values.{path}"
            found = found[name]
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    for name in re.findall(r'include "([\w.]+)"', text):
        assert f'define "{name}"' in helpers, name
    actions = re.findall(r"\{\{-?\s*(\w+)", text)
    opened = sum(actions.count(word) for word in ("if", "with", "range", "define"))
    assert opened == actions.count("end")
    assert text.count("{{") == text.count("}}")


@pytest.mark.skipif(HELM is None, reason="helm is not installed: only the structure is checked")
@pytest.mark.parametrize("token", ["", "token"])
def test_rendered(token: str, tmp_path: Path) -> None:
    assert HELM is not None
    subprocess.run([HELM, "lint", "--strict", CHART], check=True, capture_output=True)
    done = subprocess.run(
        [HELM, "template", "cv", CHART, "-n", "data", "--kube-version", "1.28.0",
         "--set", f"auth.existingSecret={token}", "--set", "extraConfig=[log]"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(done.stdout) if o}
    assert {("StatefulSet", "cv-master"), ("StatefulSet", "cv-worker")} <= set(objects)
    assert {("PodDisruptionBudget", "cv-worker"), ("NetworkPolicy", "cv")} <= set(objects)
    conf = tmp_path / "curvine-cluster.toml"
    text = objects["ConfigMap", "cv"]["data"]["curvine-cluster.toml"]
    conf.write_text(text)
    made = load(str(conf), env={})
    assert not made.warnings, made.warnings
    assert made.conf.client_master_addrs() == (("cv-master-0.cv-master.data.svc", 8995),)
    assert made.conf.worker.data_dir == ("[SSD:90GB]/data/blocks",)
    assert ("token_file" in text) == bool(token)
