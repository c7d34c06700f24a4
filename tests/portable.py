"""Run the tests as on other machines: older CPUs, other numbers of threads, locales and zones.

    python -m tests.portable [--only NAME ...] [-- PYTEST ARGUMENTS]

Libraries choose their code by the CPU, and can be told to take that of an older one: sums are then
added in another order, and their last bits differ. Configurations combine what could matter, each
value of everything in one of them at least. `make test-portable TESTS=tests/cells` runs a part.
"""

import argparse
import contextlib
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What libraries say in a configuration; a warning (a feature that is not there) is an error.
PROBE = """
import locale, time
import numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
blas = {each["architecture"] for each in threadpool_info() if each["internal_api"] == "openblas"}
found = numpy.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
print(f"numpy {' '.join(found) or 'baseline'}; OpenBLAS {' '.join(sorted(blas))};",
      f"torch {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads;",
      f"{locale.setlocale(locale.LC_ALL, '')}, {time.tzname[0]}")
"""


def features(*, newer_than_avx2: bool = False) -> str:
    """Return what NumPy found on this CPU beyond its baseline, as it wants to be told."""
    import numpy as np

    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    if newer_than_avx2:
        found = [name for name in found if name.startswith(("AVX512", "X86_V4"))]
    return " ".join(found)


def german(folder: Path) -> dict[str, str]:
    """Return a locale of decimal commas whose text is not UTF-8, made where that can be done."""
    name = "de_DE.ISO-8859-1"
    with contextlib.suppress(FileNotFoundError):
        made = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", folder / name]
        if subprocess.run(made, capture_output=True).returncode == 0:
            return {"LC_ALL": name, "LOCPATH": str(folder)}
    return {"LC_ALL": "C.UTF-8"}


def configurations(locale: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the environment of each configuration."""
    old = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": features()}
    avx2 = {"ATEN_CPU_CAPABILITY": "default"}
    if platform.machine() in ("x86_64", "AMD64"):
        old |= {
            "OPENBLAS_CORETYPE": "Nehalem",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        }
        avx2 = {
            "ATEN_CPU_CAPABILITY": "avx2",
            "NPY_DISABLE_CPU_FEATURES": features(newer_than_avx2=True),
            "OPENBLAS_CORETYPE": "Haswell",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        }
    return {
        "old": old | threads(1) | {"LC_ALL": "C", "TZ": "Asia/Kathmandu"},
        "avx2": avx2 | threads(2) | locale | {"TZ": "Pacific/Apia"},
        "own": threads(2) | {"LC_ALL": "POSIX", "TZ": "America/St_Johns"},
    }


def threads(num: int) -> dict[str, str]:
    """Return the environment for so many threads, which wait asleep: cores may be few."""
    numbers = {f"{name}_NUM_THREADS": str(num) for name in ("OMP", "MKL", "OPENBLAS")}
    return numbers | {"OMP_WAIT_POLICY": "passive"}


def passes(name: str, changes: dict[str, str], arguments: list[str]) -> bool:
    """Run the tests once; return whether they passed."""
    changes = changes | {"PYTHONHASHSEED": str(random.randrange(2**32))}
    print(f"{name}: {' '.join(f'{key}={value!r}' for key, value in changes.items())}", flush=True)
    environment = os.environ | changes
    subprocess.run([sys.executable, "-W", "error", "-c", PROBE], env=environment, check=True)
    pytest = [sys.executable, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider"]
    begin = time.monotonic()
    failed = subprocess.run([*pytest, *arguments], env=environment).returncode
    taken = time.monotonic() - begin
    print(f"{name}: {'failed' if failed else 'passed'} in {taken:.0f} s", flush=True)
    return not failed


def main() -> None:
    """Run the tests once in each configuration."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(configurations({})))
    parser.add_argument("arguments", nargs="*", help="of pytest, behind --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        failed = [
            name
            for name, changes in configurations(german(Path(folder))).items()
            if name in (given.only or [name]) and not passes(name, changes, given.arguments)
        ]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
