"""Does a change inside change a number? Small runs before and after, compared bit for bit.

    python -m benchmarks.goldens [--base REV] [--only NAME ...] [--keep FOLDER]
    python -m benchmarks.goldens --write

The runs of `benchmarks.golden_cases` are done with the sources of REV (default: the last commit)
and with those of the working tree: same interpreter, one thread. All that they leave behind is
compared but for what the clock says. The working tree also reads the models of REV, writes reports
of its runs and continues one that was interrupted. A line for each run says what is identical, or
where it first went apart; the exit status is 1 if any did. With --keep, the runs of REV stay in
that folder and are not done again by the next call.

--write writes tests/goldens.json, the losses that tests/test_goldens.py compares with: for changes
that are meant to change numbers; the commit says why.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TypeAlias

import numpy as np
from safetensors import safe_open

from benchmarks.golden_cases import CASES, DONE, INTERRUPTED, REPORTED, losses

ROOT = Path(__file__).parents[1]
LOSSES = ROOT / "tests" / "goldens.json"
Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"

# What depends on the clock, the machine and the folder.
TIMED = {"seconds", "samples_per_s", "encoder_tokens_per_s"}
# The words of a report are compared where it is.
UNCOMPARED = {"env.json", "report.html", "words.json", "tensorboard", DONE}
# What a run writes first is looked at first; the rest follows by name.
NAMES = {
    "config.json": "settings",
    "data.json": "data",
    "metrics.jsonl": "losses",
    "checkpoint/state.safetensors": "checkpoint",
    "model/config.json": "model",
    "model/weights.safetensors": "weights",
    "reloaded.safetensors": "reload",
    "features.npy": "features",
    "imputed.npy": "imputed",
    "imputed.txt": "imputed",
    "result.json": "result",
    "likelihood.json": "likelihood",
}
WIDTH = 24  # of the names of runs, when printed


def load(path: Path) -> object:
    """Read a file of a run, without what the clock says."""
    if path.suffix == ".json":
        return untimed(json.loads(path.read_text("utf-8")))
    if path.suffix == ".jsonl":
        return [untimed(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays}
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return {"tensors": tensors, "metadata": file.metadata()}
    return path.read_text("utf-8")


def untimed(value: Json) -> Json:
    """Drop what the clock says, at any depth."""
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items() if key not in TIMED}
    return [untimed(item) for item in value] if isinstance(value, list) else value


def difference(old: object, new: object, at: str = "") -> str | None:
    """Return where two values first differ, and how; None: they are identical.

    >>> difference({"a": [0.5, 1.0]}, {"a": [0.5, 1.5]})
    '.a[1]: 1.0, now 1.5'
    """
    if isinstance(old, dict) and isinstance(new, dict):
        odd = [f"-{key}" for key in old if key not in new]
        odd += [f"+{key}" for key in new if key not in old]
        if odd:
            return f"{at}: {', '.join(odd)}"
        parts = [(f"{at}.{key}", old[key], new[key]) for key in old]
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return f"{at}: {len(old)} entries, now {len(new)}"
        parts = [(f"{at}[{n}]", *pair) for n, pair in enumerate(zip(old, new, strict=True))]
    elif isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return _of_arrays(old, new, at)
    elif isinstance(old, str) and isinstance(new, str) and len(old) > 40:
        return _of_texts(old, new, at)
    else:
        # By their digits: NaN is NaN, but 1 is not 1.0, nor -0.0 0.0.
        return None if repr(old) == repr(new) else f"{at}: {old!r}, now {new!r}"
    found = (difference(before, after, where) for where, before, after in parts)
    return next((each for each in found if each is not None), None)


def _of_arrays(old: np.ndarray, new: np.ndarray, at: str) -> str | None:
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{at}: {old.dtype} {old.shape}, now {new.dtype} {new.shape}"
    if old.tobytes() == new.tobytes():
        return None
    pairs = zip(old.flat, new.flat, strict=True)
    unlike = [n for n, (a, b) in enumerate(pairs) if a.tobytes() != b.tobytes()]
    first = unlike[0]
    place = ", ".join(str(n) for n in np.unravel_index(first, old.shape))
    of_all = f"{len(unlike)} of {old.size} differ"
    return f"{at}[{place}]: {old.flat[first]!s}, now {new.flat[first]!s}; {of_all}"


def _of_texts(old: str, new: str, at: str) -> str | None:
    if old == new:
        return None
    first = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    part = slice(max(0, first - 20), first + 40)
    return f"{at}, character {first}: ...{old[part]!r}, now ...{new[part]!r}"


def files(folder: Path) -> list[str]:
    """Return the files of a run that are compared, in the order of `NAMES`."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    found = {path.as_posix() for path in paths if path.parts[0] not in UNCOMPARED}
    return [name for name in NAMES if name in found] + sorted(found - NAMES.keys())


def compare(
    base: Path, now: Path, names: list[str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return what two run folders have in common, and where other things of them first differ.

    Args:
        base: the folder of a run before.
        now: the same after.
        names: the files; default: all.
    """
    if names is None:
        names = files(base)
        names += [name for name in files(now) if name not in names]
    same: list[str] = []
    unlike: dict[str, str] = {}
    for name in names:
        label = NAMES.get(name, name)
        if not (now / name).exists():
            unlike[label] = "is gone"
        elif not (base / name).exists():
            unlike[label] = "is new"
        elif found := difference(load(base / name), load(now / name)):
            unlike[label] = found
        else:
            same.append(label)
    return same, unlike


def compare_case(name: str, base: Path, now: Path) -> bool:
    """Print how a run compares; return whether it is identical."""
    before, of_base = base / "runs" / name, now / "of-base" / name
    same, unlike = compare(before, now / "runs" / name)
    asked = files(of_base)
    if name != INTERRUPTED:
        asked = [each for each in asked if not each.startswith(("config", "model"))]
    asked += ["report.html"] if name in REPORTED else []
    read, unread = compare(before, of_base, asked)
    unlike |= {f"{label} from the base's": found for label, found in unread.items()}
    if not unlike:
        read = ["run continued"] if name == INTERRUPTED else read
        print(f"{name:<{WIDTH}} identical: {', '.join(same)}; from the base's: {', '.join(read)}")
        return True
    label = next(iter(unlike))
    others = "; also " + ", ".join(list(unlike)[1:]) if len(unlike) > 1 else ""
    print(f"{name:<{WIDTH}} DIFFERENT: {label} {unlike[label]}{others}")
    return False


def extract(revision: str, folder: Path) -> Path:
    """Write the sources of a revision into a folder; return where Python finds them."""
    packed = subprocess.run(
        ["git", "archive", revision, "src"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def do(sources: Path, folder: Path, names: list[str], *words: str) -> None:
    """Do runs with some sources.

    Raises:
        SystemExit: a run failed, or other sources were imported; with the last lines it wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    found = {"PYTHONPATH": f"{sources}{os.pathsep}{ROOT}", **one_thread}
    command = [sys.executable, "-m", "benchmarks.golden_cases", str(folder), *words]
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        # From within the folder, so that nothing is imported from the current one.
        status = subprocess.run(
            [*command, "--only", *names],
            cwd=folder,
            env={**os.environ, **found},
            stdout=sys.stderr,
            stderr=log,
        ).returncode
    if status:
        last = (folder / "log.txt").read_text("utf-8").splitlines()[-25:]
        raise SystemExit("\n".join([*last, f"the runs with {sources} failed"]))
    for name in names:
        used = (folder / "runs" / name / DONE).read_text("utf-8").strip()
        if not Path(used).is_relative_to(sources):
            raise SystemExit(f"{name} was done with {used}, not with {sources}")


def check(revision: str, names: list[str], work: Path, keep: Path | None) -> bool:
    """Do the runs of a revision and of the working tree; return whether they are identical."""
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    base = work / "base"
    if keep is not None:
        modules = ("golden_cases.py", "golden_data.py")
        cases = b"".join((ROOT / "benchmarks" / name).read_bytes() for name in modules)
        base = keep.resolve() / f"{commit[:12]}-{hashlib.sha256(cases).hexdigest()[:8]}"
    if missing := [name for name in names if not (base / "runs" / name / DONE).exists()]:
        print(f"base, {commit[:12]}", file=sys.stderr)
        do(extract(commit, work / "sources"), base, missing)
    print("working tree", file=sys.stderr)
    do(ROOT / "src", work / "now", names, "--base", str(base))
    found = [compare_case(name, base, work / "now") for name in names]
    print(f"{sum(found)} of {len(found)} runs identical")
    return all(found)


def write() -> None:
    """Write the losses that hold on any CPU, in seven digits."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, case in CASES.items():
            if case.golden:
                values = losses(case, Path("runs") / name)
                found[name] = [float(f"{value:.7g}") for value in values]
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in found.items())
    LOSSES.write_text(f"{{\n{rows}\n}}\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="HEAD", metavar="REV", help="a commit (default: HEAD)")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of the runs of the base")
    parser.add_argument("--write", action="store_true", help="write tests/goldens.json instead")
    arguments = parser.parse_args()
    if arguments.write:
        write()
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        sys.exit(not check(arguments.base, arguments.only, work, arguments.keep))


if __name__ == "__main__":
    main()
