# SPDX-License-Identifier: Apache-2.0
"""Option values that are really files: Kubernetes Secrets mounted into the pod.

Fluid writes ``/etc/fluid/secrets/<secret>/<key>`` in place of an encrypted option's value and marks
it in no other way. Contents are never logged. Source: Fluid contract 1.4.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from curvine.errors import ConfigError

PREFIX = "/etc/fluid/secrets/"
# Reads secrets from another directory: for tests and for running without a pod.
DIRECTORY_VARIABLE = "CURVINE_FLUID_SECRETS_DIR"


def is_secret(value: str) -> bool:
    """Whether an option's value names a secret's file."""
    return value.startswith(PREFIX)


def secret_path(value: str, option: str, env: Mapping[str, str]) -> str:
    """The file that ``value`` names. ConfigError when it is no such path."""
    rest = value.removeprefix(PREFIX)
    if "\0" in rest or ".." in rest.split("/"):
        raise ConfigError(f"option {option}: {value!r} is not the path of a secret")
    return os.path.join(env.get(DIRECTORY_VARIABLE) or PREFIX, rest)


def read_secret(value: str, option: str, env: Mapping[str, str]) -> str:
    """The secret that ``value`` names, without one trailing newline.

    ConfigError names the option and the path, never the content.
    """
    path = secret_path(value, option, env)
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"option {option}: cannot read the secret {value}: {error.strerror}; a Secret that a "
            "Dataset names later is not mounted into pods that already run"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"option {option}: the secret {value} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
