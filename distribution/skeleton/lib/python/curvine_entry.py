# SPDX-License-Identifier: Apache-2.0
"""How the programs of this directory start: find this Python's wheels, run a module's main().

``common`` holds what serves every Python, ``cp311`` and so on what is compiled for one. Nothing
here knows where the directory lies; it may be moved. Pythons that are too old read this file, to
say so: hence its plain syntax (ruff's UP rules are off for it).
"""

import os
import sys

OLDEST = (3, 11)
NEWEST_TRIED = 15
_TRIED = "CURVINE_PYTHON_TRIED"
_HERE = os.path.dirname(os.path.realpath(__file__))


def wheels(python):
    """The directory of the wheels for a Python such as "cp311"."""
    return os.path.join(_HERE, python)


def tag():
    """This interpreter's name in wheels."""
    threads = "t" if "t" in getattr(sys, "abiflags", "") else ""
    return "cp%d%d%s" % (sys.version_info[0], sys.version_info[1], threads)


def run(module, **environment):
    """Run ``module``'s main() with the wheels of this interpreter. Never returns."""
    own = wheels(tag())
    if sys.version_info[:2] < OLDEST or not os.path.isdir(own):
        _another_python()
    paths = [own, os.path.join(_HERE, "common")]
    # The directory of the program that was started is no place for modules.
    sys.path[:] = paths + [path for path in sys.path[1:] if path and path != _HERE]
    inherited = os.environ.get("PYTHONPATH")
    if inherited:
        kept = [path for path in inherited.split(os.pathsep) if path and path not in paths]
        paths.extend(kept)
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # servers start servers
    os.environ.pop(_TRIED, None)
    os.environ.setdefault("CURVINE_HOME", os.path.dirname(os.path.dirname(_HERE)))
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    _check_machine()
    import importlib

    sys.exit(importlib.import_module(module).main())


def _another_python():
    """Become a Python that this directory has wheels for, or say what is missing."""
    built = sorted(
        (name for name in os.listdir(_HERE) if name.startswith("cp")), key=lambda n: (len(n), n)
    )
    tried = os.environ.get(_TRIED, "").split()
    for name in built:
        command = "python%s.%s" % (name[2], name[3:])
        path = None if command in tried else _which(command)
        if path:
            os.environ[_TRIED] = " ".join([*tried, command])
            os.execv(path, [path, *sys.argv])
    sys.stderr.write(
        "ERROR: this build of Curvine needs one of: %s; python3 here is %d.%d. Install one of "
        "them, or build again with `make all` under this Python\n"
        % (", ".join("Python %s.%s" % (n[2], n[3:]) for n in built), *sys.version_info[:2])
    )
    sys.exit(1)


def _which(command):
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, command)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def _check_machine():
    with open(os.path.join(_HERE, "MACHINE")) as stream:
        built = stream.read().strip()
    if os.uname()[4] != built:
        sys.stderr.write(
            "ERROR: this build of Curvine is for %s, and this machine is %s; build again with "
            "`make all` here\n" % (built, os.uname()[4])
        )
        sys.exit(1)
