# SPDX-License-Identifier: Apache-2.0
"""A Dataset mounted on this machine from its manifests, as its pod would mount it.

The files of the pod lie below one directory: Fluid's config.json, the secrets, CURVINE_HOME with
what the image's parser makes of them. curvine-fuse then takes over this process, and follows the
manifests: when one of them changes, everything is made anew and the mount changes with it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from curvine.errors import ConfigError
from curvine.fluid import parse_main
from curvine.fluid.manifests import Bundle, choose, items, mapping, read_manifests, secret_value
from curvine.fluid.rendering import go_json, secret_keys, thin_config, thin_environment


class LocalRun:
    """Where the files of one mount are, and how they are made."""

    def __init__(
        self, files: Sequence[str], directory: str, target: str, masters: str = "",
        dataset: str | None = None,
    ) -> None:  # fmt: skip
        if "-" in files:
            raise ConfigError("a mount follows its files, so it cannot be read from stdin")
        self.files = tuple(os.path.abspath(path) for path in files)
        self.directory = os.path.abspath(directory)
        self.target = os.path.abspath(target)
        self.masters = masters
        self.dataset = dataset
        self.home = os.path.join(self.directory, "opt", "curvine")
        self.config = os.path.join(self.directory, "etc", "fluid", "config", "config.json")
        self.secrets = os.path.join(self.directory, "etc", "fluid", "secrets")

    def prepare(self) -> tuple[dict[str, str], list[str]]:
        """Write everything. Returns the environment of curvine-fuse, and lines for people."""
        bundle = choose(read_manifests(self.files), self.dataset)
        if bundle.is_cache:
            raise ConfigError(
                f"{bundle.runtime.source}: a CacheRuntime is a whole cluster; `cv up` starts one "
                "here, and `cv fluid render` shows what its pods are given"
            )
        config = thin_config(bundle)
        config["targetPath"] = self.target
        for mount in config["mounts"]:
            if self.masters:
                mount["options"] = mount.get("options", {}) | {"master-endpoints": self.masters}
        os.makedirs(self.directory, 0o700, exist_ok=True)
        self._write_secrets(bundle)
        os.makedirs(os.path.dirname(self.config), exist_ok=True)
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write(go_json(config) + "\n")
        os.replace(self.config + ".new", self.config)
        env = thin_environment(bundle) | {
            "CURVINE_HOME": self.home,
            "MOUNT_POINT": self.target,
            "CURVINE_FLUID_SECRETS_DIR": self.secrets,
        }
        warnings, summary = parse_main.generate(dict(os.environ) | env, self.config)
        return env, [*(f"WARNING: {warning}" for warning in warnings), *summary]

    def _write_secrets(self, bundle: Bundle) -> None:
        """The Secrets that options name, where they are among the files."""
        spec = bundle.dataset.spec
        lists = [spec.get("sharedEncryptOptions")]
        lists += [mapping(m).get("encryptOptions") for m in items(spec.get("mounts"))]
        for option, name, key in (row for value in lists for row in secret_keys(value)):
            path = os.path.join(self.secrets, name, key)
            document = bundle.find("Secret", name)
            data = secret_value(document, key) if document else None
            if data is None:
                if os.path.exists(path):
                    continue  # put there by hand
                raise ConfigError(
                    f"option {option}: Secret {name} with the key {key} is not in these files; "
                    f"name its manifest too, or write the value into {path}"
                )
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)

    def start(self, env: Mapping[str, str]) -> None:
        """Become curvine-fuse; does not return."""
        from curvine.config.load import load

        conf = os.path.join(self.home, parse_main.CONF_NAME)
        load(conf, env={})  # a mistake is better told here
        refresh = (sys.executable, "-m", "curvine.fluid.local_run", "--directory", self.directory,
                   "--target", self.target, "--masters", self.masters,
                   "--dataset", self.dataset or "", *self.files)  # fmt: skip
        environment = dict(os.environ) | dict(env) | {
            "CURVINE_CONF_FILE": conf,
            "CURVINE_CONF_SOURCE": ":".join(self.files),
            "CURVINE_CONF_REFRESH": shlex.join(refresh),
        }  # fmt: skip
        sys.stdout.flush()
        argv = [sys.executable, "-m", "curvine.fuse.run", "--mnt-path", self.target, "--conf", conf]
        os.execve(sys.executable, argv, environment)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the files anew; a running mount calls this when its manifests change."""
    import argparse

    parser = argparse.ArgumentParser(prog="curvine.fluid.local_run")
    for name in ("--directory", "--target", "--masters", "--dataset"):
        parser.add_argument(name, required=True)
    parser.add_argument("files", nargs="+")
    given = parser.parse_args(argv)
    run = LocalRun(given.files, given.directory, given.target, given.masters, given.dataset or None)
    try:
        run.prepare()
    except ConfigError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
