"""Small runs of every kind, for `benchmarks.goldens` and `tests/test_goldens.py`.

    python -m benchmarks.golden_cases FOLDER [--only NAME ...] [--base FOLDER]

does them with whatever maskwise is imported, and leaves what they found in FOLDER/runs. With
`--base`, the folder of another maskwise, the models in it are read, reports are written of its
runs and the interrupted one is continued, too, in FOLDER/of-base.

Nothing but the public interface is used, so that the same file runs before and after any change
inside. Data and weights are small and learning rates are low, so that rounding does not grow.
"""

import argparse
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

import maskwise as mw
from benchmarks import golden_data as data

STEPS = 20
STOP = 10  # the interrupted run does one more step
INTERRUPTED = "resumed"
REPORTED = ("digits", "texts", "dna", "cells", "table")  # reports take a second each
DONE = "done.txt"  # names the maskwise that did a run
Settings = dict[str, Any]

COMMON: Settings = {
    "train.steps": STEPS,
    "train.batch_size": 16,
    "train.lr": 5e-4,
    "train.log_every": 1,
    "diagnose.num_samples": 40,
    "diagnose.num_views": 2,
    "diagnose.ratios": (0.5,),
    "efficiency.accelerator": "cpu",
    "efficiency.workers": 0,
}
SHAPE: Settings = {"model.width": 16, "model.depth": 2, "model.heads": 2}
DECODER: Settings = {
    "model.decoder_width": 8,
    "model.decoder_depth": 1,
    "model.decoder_heads": 2,
}
PROBES: Settings = {
    "evaluate.ratios": (0.3, 0.7),
    "evaluate.num_train": 60,
    "evaluate.num_test": 40,
    "evaluate.protocols": ("knn",),
}
IMAGES: Settings = {
    **SHAPE,
    **DECODER,
    **PROBES,
    "evaluate.baselines": False,
}
TEXT: Settings = {
    **SHAPE,
    "train.batch_size": 8,
    "data.length": 24,
    "data.vocab_size": 300,
    "evaluate.num_rows": 8,
    "evaluate.ratios": (0.5,),
    "evaluate.baselines": False,
}
DNA: Settings = {
    **SHAPE,
    "model.kernel": 3,
    "data.window": 24,
    "train.batch_size": 8,
    "evaluate.num_windows": 8,
    "evaluate.ratios": (0.5,),
    "evaluate.baselines": False,
}
TABULAR: Settings = {
    **PROBES,
    "model.width": 16,
    "model.depth": 1,
    "model.code": 4,
    "model.heads": 2,
    "evaluate.impute": (0.5,),
    "evaluate.few": (2,),
    "evaluate.draws": 2,
    "evaluate.num_impute": 8,
    "evaluate.baselines": False,
}
CELLS: Settings = {**TABULAR, "data.num_genes": 16, "data.labels": "kind"}
TABLES: Settings = {**TABULAR, "data.labels": "species"}


@dataclass(frozen=True)
class Case:
    """A run: what it is given, and what its features are of."""

    data: str | Callable[[], Any]
    """a recipe, or what makes the data"""
    samples: Callable[[], Any]
    settings: Settings
    modality: str | None = None
    golden: bool = True
    """whether its losses hold on any CPU"""


def _digits(**settings: Any) -> Case:
    return Case("digits", data.digits, {**IMAGES, **_dotted(settings)})


def _dotted(settings: Mapping[str, Any]) -> Settings:
    """Turn keywords such as train__ema into keys such as train.ema."""
    return {key.replace("__", "."): value for key, value in settings.items()}


CASES: dict[str, Case] = {
    "digits": _digits(
        evaluate__baselines=True,
        evaluate__protocols=("logistic", "mae", "knn"),
        evaluate__finetune__seeds=(0,),
        evaluate__finetune__epochs=2,
        evaluate__finetune__warmup=1,
        evaluate__finetune__batch_size=32,
        diagnose__every=10,
    ),
    "regularised": _digits(
        regularise__uniformity="0.05",
        regularise__coding_rate="linear:0..0.05@0.5",
        regularise__pool="class",
        diagnose__pool="class",
    ),
    "regularised-layers": _digits(
        regularise__variance="0.1",
        regularise__covariance="0.1",
        regularise__koleo="0.1",
        regularise__magma="0.1",
        regularise__local_dimension="0.1",
        regularise__orthogonality="0.001",
        regularise__neighbours=8,
    ),
    "accumulated": _digits(train__accumulate=2, regularise__koleo="0.1"),
    "ema": _digits(train__ema=0.9, train__scope="sample", train__reduction="token_mean"),
    "per-sample": _digits(train__scope="sample", train__sampling="stratified", pattern="block"),
    INTERRUPTED: _digits(
        train__ema=0.9, train__scope="sample", diagnose__every=5, diagnose__probe_every=1, seed=3
    ),
    "bf16": Case(
        "digits",
        data.digits,
        {**IMAGES, "efficiency.precision": "bf16", "efficiency.attention": "sdpa"},
        golden=False,
    ),
    "pictures": Case(
        data.pictures,
        lambda: data.pictures()[0][:6],
        {
            **IMAGES,
            "law": "scheduled:linear,uniform:0.2,0.4..uniform:0.5,0.9",
            "data.crop_scale": (0.4, 1.0),
            "data.flip": True,
            "model.positions": "learned",
            "model.predict_fraction": 0.5,
        },
    ),
    "replace": Case(
        data.heights,
        lambda: data.heights()[:6],
        {
            **IMAGES,
            "evaluate.pools": ("mean",),
            "model.mode": "replace",
            "model.class_token": False,
            "data.patch": (2, 2),
            "law": "beta:3,3",
        },
    ),
    # Another version of Python has another manual.
    "pydoc": Case("pydoc", lambda: data.lines()[:4], TEXT, golden=False),
    "texts": Case(
        data.labelled_lines,
        lambda: data.lines()[:4],
        {
            **TEXT,
            "evaluate.baselines": True,
            "evaluate.probes": (data.TASK,),
            "evaluate.token_probes": (data.TAGS,),
            "evaluate.pairs": ("pairs.jsonl",),
            "evaluate.layers": (-1,),
            "evaluate.finetune.tasks": (data.TASK,),
            "evaluate.finetune.seeds": (0,),
            "evaluate.finetune.epochs": 1,
        },
    ),
    "texts-words": Case(
        data.lines,
        lambda: data.lines()[:4],
        {
            **TEXT,
            "data.pack": False,
            "pattern": "words",
            "train.scope": "sample",
            "train.accumulate": 2,
            "model.corruption": (0.8, 0.1, 0.1),
            "model.predict_fraction": 0.5,
            "regularise.variance": "0.1",
        },
    ),
    "texts-hf": Case(
        data.sentences,
        lambda: data.sentences()[:4],
        {**TEXT, "data.length": 16, "model.hf": data.BERT, "model.pretrained": True},
    ),
    "texts-hf-untrained": Case(
        data.sentences,
        lambda: data.sentences()[:4],
        {**TEXT, "data.length": 16, "model.hf": data.BERT, "train.ema": 0.9},
    ),
    "dna": Case(
        data.sequences,
        lambda: [text[:40] for text in data.sequences()],
        {
            **DNA,
            "evaluate.baselines": True,
            "evaluate.probes": (data.SEQUENCES,),
        },
        modality="dna",
    ),
    "dna-equivariant": Case(
        data.sequences,
        lambda: [text[:40] for text in data.sequences()],
        {
            **DNA,
            "model.equivariant": True,
            "data.tokens": "overlapping:3",
            "pattern": "spans",
            "train.scope": "sample",
        },
        modality="dna",
    ),
    "dna-transformer": Case(
        data.sequences,
        lambda: [text[:40] for text in data.sequences()],
        {
            **DNA,
            "model.kind": "transformer",
            "data.tokens": "kmers:3",
            "model.corruption": (0.8, 0.1, 0.1),
            "train.accumulate": 2,
        },
        modality="dna",
    ),
    "cells": Case(
        data.cells,
        data.cells,
        {**CELLS, "evaluate.baselines": True, "evaluate.protocols": ("logistic", "knn")},
    ),
    "cells-nb": Case(
        data.cells,
        data.cells,
        {**CELLS, "data.loss": "nb", "data.batch": "plate", "pattern": "shared"},
    ),
    "cells-zinb": Case(
        data.cells,
        data.cells,
        {
            **CELLS,
            "data.loss": "zinb",
            "data.zeros": 0.3,
            "model.kind": "transformer",
            "model.corruption": "permute",
            "train.scope": "sample",
        },
    ),
    "table": Case(
        data.table,
        data.table,
        {**TABLES, "evaluate.baselines": True, "evaluate.protocols": ("logistic", "knn")},
    ),
    "table-transformer": Case(
        data.table,
        data.table,
        {
            **TABLES,
            "model.kind": "transformer",
            "train.scope": "sample",
            "regularise.uniformity": "0.1",
        },
    ),
    "numbers": Case(
        data.numbers,
        lambda: data.numbers()[0],
        {**TABULAR, "model.linear": 2, "model.corruption": "permute", "data.scale": "quantile"},
    ),
}


def pretrain(
    case: Case, folder: Path, changes: Settings | None = None, *, resume: bool = False
) -> mw.Run:
    """Do a run in a folder; data that are files go to the current one."""
    given = case.data if isinstance(case.data, str) else case.data()
    settings = {**COMMON, **case.settings, **(changes or {})}
    return mw.pretrain(given, out=folder, modality=case.modality, resume=resume, **settings)


@contextlib.contextmanager
def interrupted(after: int) -> Iterator[None]:
    """Press Ctrl-C in the step that follows `after` steps, which then is the last."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == after:
            signal.raise_signal(signal.SIGINT)

    hook = register_optimizer_step_post_hook(count)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        hook.remove()


def losses(case: Case, folder: Path) -> list[float]:
    """Return the losses of a run, which is stopped in its last step: nothing is evaluated."""
    with interrupted(STEPS - 1):
        pretrain(case, folder, {"diagnose.every": None})
    found = [row["loss"] for row in mw.Run(folder).metrics]
    assert len(found) == STEPS, f"{len(found)} steps"
    return found


def do(name: str) -> None:
    """Do a run, and write beside what it writes what can be asked of it."""
    case, folder = CASES[name], Path("runs") / name
    shutil.rmtree(folder, ignore_errors=True)
    if name == INTERRUPTED:
        shutil.rmtree(f"interrupted/{name}", ignore_errors=True)
        with interrupted(STOP * 2):  # every second one is that of a probe
            pretrain(case, folder)
        shutil.copytree(folder, f"interrupted/{name}")
    run = pretrain(case, folder, resume=name == INTERRUPTED)
    given = None if isinstance(case.data, str) else case.data()
    mw.measure_likelihood(run, given, num_samples=4, passes=4)
    ask(run, case)
    (folder / DONE).write_text(f"{Path(mw.__file__).parent}\n", "utf-8")


def ask(run: mw.Run, case: Case) -> None:
    """Write the features of a run's model, its weights as they are read, and what it imputes."""
    samples = case.samples()
    np.save(run.path / "features.npy", run.embed(samples))
    weights = mw.load(run.path / "model").state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, run.path / "reloaded.safetensors")
    if run.config.modality == "tables":
        filled = run.impute(samples)
        if isinstance(filled, np.ndarray):
            np.save(run.path / "imputed.npy", filled)
        else:
            (run.path / "imputed.txt").write_text(repr(filled.to_dict("list")), "utf-8")
    if run.config.modality == "cells":
        np.save(run.path / "imputed.npy", run.impute(samples).layers["maskwise_imputed"])


def read(base: Path, name: str) -> None:
    """Ask the model of another maskwise, write the report of its run, continue what it began."""
    folder = Path("of-base") / name
    shutil.rmtree(folder, ignore_errors=True)
    if name == INTERRUPTED:
        shutil.copytree(base / "interrupted" / name, folder)
        run = pretrain(CASES[name], folder, resume=True)
    else:
        folder.mkdir(parents=True)
        shutil.copy(base / "runs" / name / "config.json", folder)
        shutil.copytree(base / "runs" / name / "model", folder / "model")
        run = mw.Run(folder)
    ask(run, CASES[name])
    if name in REPORTED:
        with tempfile.TemporaryDirectory() as place:
            old = shutil.copytree(base / "runs" / name, Path(place) / name)
            mw.Run(old).say()  # which the base may not have done
            mw.report.write([old], folder / "report.html")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--base", type=Path, help="the folder of another maskwise")
    arguments = parser.parse_args()
    base = arguments.base and arguments.base.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    # Configurations hold paths, which then are the same on both sides.
    os.chdir(arguments.folder)
    os.environ["MASKWISE_CACHE"] = str(Path("cache").resolve())
    torch.set_num_threads(1)
    for name in arguments.only:
        began = time.perf_counter()
        do(name)
        if base is not None:
            read(base, name)
        print(f"  {name}, {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
