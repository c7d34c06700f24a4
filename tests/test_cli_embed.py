import gzip

import numpy as np
import pytest

from maskwise.dna.bases import encode
from maskwise.dna.evaluation import embed_sequences
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.files import write_json
from maskwise.modalities import build, find
from maskwise.run import save_model
from maskwise.settings import override, to_dict

RECORDS = {
    name: "".join(np.random.default_rng(seed).choice(list("ACGTacgt"), num))
    for seed, (name, num) in enumerate({"chr1": 90, "chr2": 40, "short": 7}.items())
}
REGIONS = [("chr2", 5, 15), ("chr1", 0, 90), ("short", 1, 7), ("chr2", 0, 10), ("chr1", 30, 40)]


@pytest.fixture
def run(tmp_path):
    """The folder of a run that was trained on regions, with initial weights."""
    folder = tmp_path / "run"
    shape = DNAModelSettings(width=8, depth=2, kernel=5)
    save_model(folder / "model", build(DNA(window=16), shape, seed=0))
    config = override(find("dna").settings(model=shape), {"data.regions": "elsewhere.bed"})
    write_json(folder / "config.json", to_dict(config))
    return folder


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa.gz"
    text = "".join(f">{name}\n{letters}\n" for name, letters in RECORDS.items())
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.fixture
def bed(tmp_path):
    path = tmp_path / "peaks.bed"
    path.write_text("".join(f"{name}\t{start}\t{stop}\n" for name, start, stop in REGIONS))
    return path


def embedded(run, sequences, layer=-1):
    from maskwise.api import load

    return embed_sequences(load(run), [encode(each) for each in sequences], layer)


def test_rows_are_those_of_the_bed(cli, run, fasta, bed, tmp_path):
    out = tmp_path / "out.npy"
    status, printed, _ = cli("embed", run, bed, "--fasta", fasta, "-o", out)
    assert (status, printed) == (0, f"{out}: 5 x 8, float32\n")
    found = np.load(out, allow_pickle=False)
    want = embedded(run, [RECORDS[name][start:stop] for name, start, stop in REGIONS])
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    assert np.abs(want[0] - want[3]).max() > 1e-3


def test_a_row_for_each_record(cli, run, fasta, tmp_path):
    out = tmp_path / "out.npy"
    status, printed, _ = cli("embed", run, fasta, "-o", out, "--layer", 0)
    assert (status, printed) == (0, f"{out}: 3 x 8, float32\n")
    want = embedded(run, RECORDS.values(), layer=0)
    np.testing.assert_allclose(np.load(out, allow_pickle=False), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("{bed}", "peaks.bed holds regions only: give the sequences too, with --fasta"),
        ("{bed} --fasta none.fa", "none.fa"),
        (
            "{other} --fasta {fasta}",
            "other.bed: none of 1 sequences can be read: the first, chr2:3-41: stop 41 is",
        ),
        ("{fasta} --pool class", "pool 'class' needs a class token, which models of DNA lack"),
        ("{fasta} --layer 9", "layer 9 is outside 0..1"),
        ("{fasta} --train.steps 9", "embedding cannot change 'train.steps'"),
    ],
)
def test_bad_words(cli, run, fasta, bed, tmp_path, words, says):
    other = tmp_path / "other.bed"
    other.write_text("chr2\t3\t41\n")
    words = words.format(fasta=fasta, bed=bed, other=other).split()
    status, _, err = cli("embed", run, *words, "-o", tmp_path / "out.npy")
    assert status == 2
    assert says in err.splitlines()[-1]
    assert not (tmp_path / "out.npy").exists()


def test_sequences_are_for_models_of_dna(cli, run, fasta, bed, tmp_path):
    write_json(run / "config.json", to_dict(find("text").settings()))
    status, out, err = cli("embed", run, bed, "--fasta", fasta, "-o", tmp_path / "out.npy")
    assert (status, out) == (2, "")
    assert err == f"maskwise: --fasta is for models of DNA, but {run} is none\n"


def test_regions_to_train_on(cli, fasta, tmp_path):
    bed = tmp_path / "regions.bed"
    bed.write_text("chr1\t0\t91\n")
    out = tmp_path / "made"
    status, _, err = cli("pretrain", fasta, "--modality", "dna", "--regions", bed, "--out", out)
    assert status == 2
    assert (
        "regions.bed: none of 1 regions can be read: line 1 (stop 91 is beyond the end of chr1"
        in err.splitlines()[-1]
    )
    assert not out.exists()
