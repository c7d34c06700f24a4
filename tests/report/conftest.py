"""Run folders for the tests: one tiny run of each kind, and copies with known numbers.

Each kind is trained once in a session, and its page is drawn once.
"""

import json
import re
import shutil
from functools import cache

import numpy as np
import pytest

import maskwise as mw
from maskwise.report import folder, write
from maskwise.report.blocks import render
from tests.report import made_up

KINDS = ("images", "text", "dna", "cells", "tables")
SMALL = {"train": {"steps": 6, "batch_size": 16, "log_every": 1}, "diagnose.num_samples": 40}
SMALL |= {"efficiency.accelerator": "cpu", "model": {"width": 8, "depth": 1, "heads": 2}}
COLUMNS = {
    "ratios": (0.3, 0.7),
    "impute": (0.5,),
    "protocols": ("knn",),
    "few": (2,),
    "draws": 2,
    "visible": (),
}


def images(data, out):
    changes = SMALL | {"model": {"width": 8, "depth": 1, "decoder_width": 8, "decoder_depth": 1}}
    evaluate = {"num_train": 60, "num_test": 40, "ratios": (0.3, 0.7), "protocols": ("knn",)}
    evaluate["visible"] = ()
    return mw.pretrain("digits", out=out, evaluate=evaluate, **changes)


def text(data, out):
    pytest.importorskip("tokenizers")
    lines = [f"line {n} tells of {n * n} cats and {n % 7} dogs that sat by" for n in range(120)]
    labelled, pairs = data / "task.tsv", data / "pairs.txt"
    labelled.write_text(
        "text\tlabel\n" + "".join(f"{x[:20]}\t{n % 2}\n" for n, x in enumerate(lines))
    )
    pairs.write_text("".join(f"sat dogs by {n}\n{n} dogs sat by\n" for n in range(6)))
    task = f"task={labelled}:{labelled}"
    evaluate = {"num_rows": 8, "ratios": (0.15, 0.5), "probes": (task,), "pairs": (str(pairs),)}
    evaluate |= {"num_train": 40, "num_test": 40, "protocols": ("knn",), "visible": ()}
    evaluate["finetune"] = {"tasks": (task,), "epochs": 1, "seeds": (0,)}
    changes = {"data.length": 24, "data.vocab_size": 300, "evaluate": evaluate}
    return mw.pretrain(lines, out=out, modality="text", **SMALL, **changes)


def dna(data, out):
    letters = np.random.default_rng(0).choice(list("ACGT"), (8, 200))
    sequences = ["".join(row) for row in letters]
    labelled = data / "task.csv"
    rows = [f"{sequences[n % 8][n : n + 24]},{n % 2}\n" for n in range(40)]
    labelled.write_text("sequence,label\n" + "".join(rows))
    evaluate = {"num_windows": 8, "ratios": (0.15, 0.5), "probes": (str(labelled),)}
    changes = {"data.window": 24, "evaluate": evaluate | {"protocols": ("knn",), "visible": ()}}
    return mw.pretrain(sequences, out=out, modality="dna", **SMALL, **changes)


def cells(data, out):
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    kind, batch = np.arange(80) % 2, np.arange(80) // 2 % 2
    rate = generator.gamma(0.7, 2.0, (2, 24))[kind] + 0.05
    obs = {"kind": np.array(["T", "B"])[kind], "plate": np.array(["p1", "p2"])[batch]}
    obs = pandas.DataFrame(obs, index=[f"cell{n}" for n in range(80)])
    var = pandas.DataFrame(index=[f"GENE{n}" for n in range(24)])
    adata = anndata.AnnData(generator.poisson(rate).astype(np.float32), obs=obs, var=var)
    changes = {"data.num_genes": 16, "data.labels": "kind", "data.batch": "plate"}
    return mw.pretrain(adata, out=out, modality="cells", evaluate=COLUMNS, **SMALL, **changes)


def tables(data, out):
    size = np.random.default_rng(0).normal(size=(80, 4))
    columns = {"size": size[:, 0], "age": size[:, 1], "weight": size[:, 0] + size[:, 2]}
    columns["kind"] = np.where(size[:, 0] > 0, "cat", "mouse")
    changes = {"data.labels": "kind", "evaluate": COLUMNS}
    return mw.pretrain(columns, out=out, modality="tables", **SMALL, **changes)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Give the run folder of a kind of data, trained and evaluated."""

    @cache
    def of(kind):
        place = tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("maskwise.report.write", lambda runs, out=None: None)
            run = globals()[kind](place, place / "run")
        return run.path

    return of


def copy_of(trained, kind, path, seed=0, evaluated=True, **changes):
    """Copy a trained run; with the known numbers of `made_up`, and settings replaced."""
    path.mkdir(parents=True)
    for name in ("config.json", "env.json", "metrics.jsonl", "words.json", "samples.*"):
        for file in trained(kind).glob(name):
            if evaluated or name != "samples.*":
                shutil.copy(file, path)
    config = json.loads((path / "config.json").read_text("utf-8"))
    config["data"]["source"] = "my data"
    config |= {"law": made_up.LAW, "seed": seed} | changes
    (path / "config.json").write_text(json.dumps(config))
    if evaluated:
        found = json.loads((trained(kind) / "result.json").read_text("utf-8"))
        (path / "result.json").write_text(json.dumps(found | made_up.result(kind, seed)))
        if likelihood := made_up.likelihood(kind, seed):
            (path / "likelihood.json").write_text(json.dumps(likelihood))
    return path


@pytest.fixture
def make(trained, tmp_path):
    """Make a run folder of a kind of data with known numbers, whose files a test may change."""
    return lambda kind, name="run", **changes: copy_of(trained, kind, tmp_path / name, **changes)


@pytest.fixture(scope="session")
def page(trained, draw, tmp_path_factory):
    """Give the page of such a run, drawn once."""

    @cache
    def of(kind):
        run = copy_of(trained, kind, tmp_path_factory.mktemp("page") / "run")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("maskwise.report.figures.draw", draw)
            return write([run]).read_text("utf-8")

    return of


def change(run, file="result.json", **changes):
    found = json.loads((run / file).read_text("utf-8"))
    (run / file).write_text(json.dumps(found | changes))


def show(part, *runs):
    """The markup of what one part says of run folders."""
    return render("", "", part([folder.read(run) for run in runs]))


def section(page, slug):
    """The markup of one section."""
    return re.search(rf'<section id="{slug}".*?</section>', page, re.DOTALL).group()


def rows_of(part):
    """The rows of all tables, as lists of text with tags replaced by spaces."""
    found = re.findall(r"<tr>\n<th scope=\"row\">.*?</tr>", part, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in found]
    return [[re.sub(r"(<[^>]+>)+", " ", cell).strip() for cell in row] for row in cells]


def bold(part):
    return re.findall(r"<strong>(.*?)</strong>", part)


def texts(table):
    return [[cell.text for cell in cells] for cells in table.rows]
