"""The compiled part of the build; everything else stands in pyproject.toml.

FASTSSE_DEBUG=1 builds `_framing` with bounds checks, line tracing and no optimisation, and leaves the COMPILED rooms
interpreted.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler.Options import get_directive_defaults
from setuptools import Extension, setup

# Python rooms with a `.pxd` beside them are compiled too: the figures asked for it.
COMPILED = sorted(
    str(room) for room in (path.with_suffix(".py") for path in Path("fastsse").glob("*.pxd")) if room.exists()
)

DEBUG = os.environ.get("FASTSSE_DEBUG", "") not in ("", "0")

DIRECTIVES = {
    "language_level": 3,
    "autotestdict": False,
    "linetrace": DEBUG,
    "profile": DEBUG,
}
CHECKS = ("boundscheck", "wraparound", "initializedcheck", "nonecheck")
# `_framing` counts for itself, unless it is being debugged. Compiled rooms keep Python's meaning, checks and all: what
# is typed stands in the .pxd, annotations are for people and mypy.
FRAMING = {**DIRECTIVES, **dict.fromkeys(CHECKS, DEBUG), "cdivision": True}
ROOMS = {**DIRECTIVES, **dict.fromkeys(CHECKS, True), "annotation_typing": False}

# An object takes the place of the last one of its class: 2 to 4 % of a call's instructions. Rooms cannot say so for
# themselves, Cython wants this in a .py, which would have to import it. It warns of subclasses, which go without.
get_directive_defaults()["freelist"] = 16

# All rooms are compiled for minutes: what -O3 and debug symbols add to that, no figure shows. Python's functions are
# called without a stub of each room between: 5 to 9 % of a call's user time.
OPTIMISE = [] if sys.platform == "win32" else ["-O0", "-g"] if DEBUG else ["-O2", "-g0", "-fno-plt"]


def extension(source: str) -> Extension:
    name = os.path.splitext(source)[0].replace("/", ".")
    macros = [("CYTHON_TRACE", "1")] if DEBUG else []
    return Extension(name, [source], extra_compile_args=OPTIMISE, define_macros=macros)


def compiled(sources: list[str], directives: dict[str, object]) -> list[Extension]:
    build_dir = "build/cython-debug" if DEBUG else "build/cython"
    # force: Cython does not follow `from fastsse cimport room` to the room's declarations.
    return cythonize(
        [extension(source) for source in sources], build_dir=build_dir, compiler_directives=directives, force=True
    )


setup(
    ext_modules=compiled(["fastsse/_framing.pyx"], FRAMING) + compiled([] if DEBUG else COMPILED, ROOMS),
    # Time stamps cannot tell a debug build from a release one.
    options={"build_ext": {"force": True, "parallel": os.cpu_count() or 1}},
)
