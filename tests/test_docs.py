"""The documentation is run: every snippet and command, every example, every link.

Blocks of one page share a folder and a namespace, in order. A page may put a comment before a
block: ``<!-- test: resolve -->`` only checks the command and its settings, for data that a reader
has to bring. Otherwise commands run as written, but smaller: `small_runs` bounds steps and sizes.
"""

import doctest
import gzip
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

import maskwise
from maskwise import (
    cli,
    diagnostics,
    integrations,
    laws,
    likelihood,
    masks,
    modalities,
    objectives,
    preparing,
    theory,
)
from maskwise.integrations.sklearn import MaskedAutoencoder
from tests.lazy import lazy
from tests.peers import peer

anndata, pd = lazy("anndata"), lazy("pandas")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BLOCK = re.compile(r"(?:<!-- test: (\w+) -->\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class ResolvedError(Exception):
    """The command is fine so far: its settings could be resolved."""


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path, monkeypatch, small_runs):
    """Work in a folder with what a reader has to bring, and with every training bounded."""
    monkeypatch.chdir(tmp_path)
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 9000))
    records = "".join(f">chr{n}\n{letters[3000 * n : 3000 * (n + 1)]}\n" for n in range(3))
    (tmp_path / "genome.fa.gz").write_bytes(gzip.compress(records.encode()))
    regions = [
        f"chr{n}\t{start}\t{start + 300}\n" for n in range(3) for start in range(0, 2700, 90)
    ]
    (tmp_path / "peaks.bed").write_text("".join(regions))
    alt = "ACGT".replace(letters[99], "")[0]
    variants = f"#CHROM\tPOS\tID\tREF\tALT\nchr0\t100\trs1\t{letters[99]}\t{alt}\n"
    (tmp_path / "variants.vcf").write_text(variants)
    _features(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "photos" / "1.png")
    learn = MaskedAutoencoder._learn

    def few(self, given, steps, **more):
        return learn(self, given, min(steps, 20), **more)

    monkeypatch.setattr(MaskedAutoencoder, "_learn", few)
    return tmp_path


def _features(path):
    """Write cells with counts, and a table with holes; both with groups."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1.0, 2.0, (2, 30))[rng.integers(2, size=60)])
    obs = pd.DataFrame({"cell_type": ["B", "T", "NK"] * 20, "donor": ["x", "y"] * 30})
    obs.index, var = [f"c{n}" for n in range(60)], [f"G{n}" for n in range(30)]
    cells = anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs)
    cells.var_names = var
    cells.write_h5ad(path / "cells.h5ad")
    table = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
    table = table.mask(rng.random((60, 4)) < 0.2)
    table["smoker"], table["outcome"] = ["yes", "no", None] * 20, ["well", "ill"] * 30
    table.to_csv(path / "patients.csv", index=False)


def blocks(page):
    """Return (mark, language, text) of each block of a page."""
    return [match.groups() for match in BLOCK.finditer(page.read_text("utf-8"))]


def commands(text):
    """Return the commands of a block with what the page shows as their output."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and text.startswith("$ "):
            found[-1][1].append(line)
        else:
            found.append((line, []))
    return [(command, "\n".join(output)) for command, output in found]


def run_command(command, output, mark, monkeypatch, capsys):
    words = shlex.split(command, comments=True)
    assert words[0] == "maskwise", f"only maskwise commands can be run here, not: {command}"
    if mark == "resolve":
        with monkeypatch.context() as patch:
            patch.setattr(preparing, "config_of", _stop_after(preparing.config_of))
            with pytest.raises(ResolvedError):
                cli.main(words[1:])
        return
    capsys.readouterr()
    status = cli.main(words[1:])
    printed = capsys.readouterr()
    assert status == 0, f"{command}: {printed.err}"
    if output:
        assert printed.out.strip() == output.strip(), f"paste what this prints now: {command}"


def _stop_after(resolve):
    def stop(*arguments):
        resolve(*arguments)
        raise ResolvedError

    return stop


def run_session(text, namespace, page):
    """Run a ``>>>`` session and compare its output."""
    test = doctest.DocTestParser().get_doctest(text, namespace, name_of(page), str(page), 0)
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    runner.run(test, out=failures.append, clear_globs=False)
    assert not failures, "".join(failures)
    namespace.update(test.globs)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_snippets_and_commands_run(page, folder, monkeypatch, capsys):
    namespace = {"__name__": "page"}
    for mark, language, text in blocks(page):
        assert mark in ("", None, "resolve"), f"unknown mark '{mark}'"
        if language == "python":
            exec(compile(text, name_of(page), "exec"), namespace)
        elif language == "pycon":
            run_session(text, namespace, page)
        elif language in ("bash", "console"):
            for command, output in commands(text):
                run_command(command, output, mark, monkeypatch, capsys)
        else:
            assert not language, f"nothing runs blocks of '{language}'"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_other_commands_name_what_exists(page):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    text = page.read_text("utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no make {target}"
    for script in re.findall(r"(?:^|`)python ([\w/]+\.py)", text, re.MULTILINE):
        assert (ROOT / script).is_file(), f"no {script}"
    for extra in re.findall(r'pip install "[\w.]*\[(\w+)\]"', text):
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text("utf-8")


SLOW = dict.fromkeys(  # tracing, and libraries that take seconds to import
    ("export_model.py", "attach_vitmae.py", "timm_encoder.py"), pytest.mark.slow
)


@pytest.mark.parametrize(
    "script",
    [pytest.param(each, marks=SLOW.get(each.name, ()), id=name_of(each)) for each in EXAMPLES],
)
def test_examples_run(script, folder, capsys, monkeypatch):
    most = 150 if script.stem in ("demo", "new_kind") else 60
    assert len(script.read_text("utf-8").splitlines()) < most
    monkeypatch.setattr("sys.argv", [str(script)])
    for name in re.findall(r"^(?:import|from) (timm)\b", script.read_text("utf-8"), re.MULTILINE):
        peer(name)
    known = dict(modalities.KINDS)
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        modalities.KINDS.clear()
        modalities.KINDS.update(known)
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_resolve(page):
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            assert anchor in {anchor_of(title) for title in titles}, f"{link}: no such heading"


def anchor_of(title):
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_page_is_reachable_from_the_index():
    index = (ROOT / "docs/index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name}" in index


@pytest.mark.parametrize(
    "module",
    [maskwise, diagnostics, integrations, laws, likelihood, masks, objectives, theory],
    ids=lambda module: module.__name__,
)
def test_reference_names_everything_public(module):
    reference = (ROOT / "docs/reference.md").read_text("utf-8")
    missing = [name for name in module.__all__ if not re.search(rf"\b{name}\b", reference)]
    assert missing == []


def test_reference_names_every_file_of_a_run(folder, capsys):
    assert cli.main(["pretrain", "digits", "--out", "run", "--train.ema", "0.9"]) == 0
    reference = (ROOT / "docs/reference.md").read_text("utf-8")
    files = [str(path.relative_to("run")) for path in Path("run").rglob("*") if path.is_file()]
    named = [file for file in files if f"| `{file}` |" in reference]
    assert sorted(named) == sorted(file for file in files if not file.startswith("tensorboard/"))
