"""Read a run folder into plain values; nothing here knows how the run was made."""

import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from maskwise import laws, words
from maskwise.errors import UserError, call
from maskwise.files import read_json, read_json_lines
from maskwise.words import Words

Row = Mapping[str, Any]  # an object of a JSON file
PICTURES = ("images", "ratios", "hidden", "filled_visible", "filled_true")


@dataclass(frozen=True)
class RunFolder:
    """What a run folder says; all from `result` on but words are empty without their file."""

    path: Path
    name: str
    config: Row
    env: Row
    metrics: Mapping[str, np.ndarray]
    result: Row
    likelihood: Row
    samples: Row
    asking: Row
    words: Words

    @property
    def law(self) -> laws.Law:
        """The ratio law, parsed from the configuration."""
        return laws.parse(self.config["law"])

    @property
    def data_name(self) -> str:
        """The data's name, from the result or else from the configuration."""
        return str(self.result.get("data", {}).get("name") or self.config["data"].get("source"))

    @property
    def num_steps(self) -> int:
        """The number of steps done: the last one logged."""
        steps = self.metrics.get("step", np.zeros(0))
        return int(steps[-1]) if len(steps) else 0

    def rows(self, key: str) -> list[Row]:
        """Return a list of result.json, if it is there; each row says of which "run" it is."""
        return [{**row, "run": self.name} for row in self.result.get(key) or ()]

    def command(self, name: str) -> str:
        """Return the command that makes files that the run lacks."""
        return f"maskwise {name} {shlex.quote(str(self.path))}"


def read(path: Path) -> RunFolder:
    """Read one run folder.

    Args:
        path: folder with config.json, env.json, metrics.jsonl and, once evaluated, result.json,
            words.json, samples.npz (pictures) or samples.json, asking.json, and likelihood.json.

    Raises:
        UserError: the folder is not a run folder, or one of its files is damaged.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a run folder: no such folder; give one made by pretrain")
    needed = ("config.json", "env.json", "metrics.jsonl")
    if missing := [name for name in needed if not (path / name).is_file()]:
        raise UserError(
            f"{path} is not a run folder: it lacks {', '.join(missing)}; give one made by pretrain"
        )
    config = _json(path / "config.json")
    for key, kind in (("data", Mapping), ("law", str), ("train", Mapping)):
        if not isinstance(config.get(key), kind):
            raise UserError(f"{path / 'config.json'}: no '{key}'; restore the file or train again")
    return RunFolder(
        path=path,
        name=path.resolve().name,
        config=config,
        env=_json(path / "env.json"),
        metrics=read_metrics(path / "metrics.jsonl"),
        result=_json(path / "result.json", needed=False),
        likelihood=_json(path / "likelihood.json", needed=False),
        samples=_samples(path),
        asking=_json(path / "asking.json", needed=False),
        words=words.read(path),
    )


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Read metrics.jsonl as float columns; a value absent from a line is NaN."""
    rows = [
        {key: value for key, value in row.items() if type(value) in (int, float)}
        for row in read_json_lines(path, ("step", "loss"))
    ]
    # Some values are measured less often than others.
    names = dict.fromkeys(chain(*rows))
    return {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}


def _json(path: Path, *, needed: bool = True) -> Row:
    if not needed and not path.is_file():
        return {}
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged: not a JSON object; restore it or make it again")
    return values


def _samples(folder: Path) -> Row:
    path = folder / "samples.npz"
    if not path.is_file():
        return _json(folder / "samples.json", needed=False)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in PICTURES}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is damaged ({error}); make it again with {call('evaluate', str(folder), {})}"
        ) from None
