import json

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.dna.bases import encode
from maskwise.dna.data import DNADataSettings
from maskwise.dna.record import DNARunSettings
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import find
from maskwise.train.batches import Batches
from maskwise.train.config import connect
from maskwise.train.loop import Learner, backward, plan_of, prepare, setup

LETTERS = list("ACGTacgt")
TINY = {
    "data.window": 24,
    "model": {"width": 8, "depth": 2, "heads": 2, "kernel": 3},
    "train": {"steps": 6, "batch_size": 8, "log_every": 1},
    "evaluate": {"num_windows": 8, "ratios": (0.15, 0.5), "baselines": False},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 20,
}


def letters(num, seed):
    return "".join(
        np.random.default_rng(seed).choice(list("ACGTacgt"), num, p=[0.2] * 4 + [0.05] * 4)
    )


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(
        f">one\n{letters(900, 0)}\n>two\n{letters(400, 1)}{'N' * 100}\n>three\n{letters(15, 2)}\n"
    )
    return path


def pretrain(source, out, **changes):
    return mw.pretrain(source, out=out, **{**TINY, **changes})


def test_a_run_on_a_genome(genome, tmp_path):
    run = pretrain(genome, tmp_path / "run", **{"data.heldout": ("two",)})
    files = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert {"data.json", "report.html", "samples.json", "model/weights.safetensors"} <= files
    config = run.config
    assert (config.modality, config.data.window, config.data.stride) == ("dna", 24, 12)
    # 900 bases in windows of 24 each 12, the last of them shifted, and the short record.
    assert run.result["data"]["num_train"] == 74 + 1
    curve = run.result["reconstruction"]
    assert [point["ratio"] for point in curve["curve"]] == [0.15, 0.5]
    assert list(curve["baselines"]) == ["base composition"]
    floor = curve["baselines"]["base composition"][0]["error"]
    assert floor == pytest.approx(np.log(4), rel=0.02)
    z = run.embed(["ACGTACGTAAA", "ACGTNNACG"])
    assert z.shape == (2, 8)
    # Either strand is embedded the same.
    np.testing.assert_allclose(run.embed(["TTTACGTACGT"])[0], z[0], atol=1e-5)
    page = run.report.read_text("utf-8")
    assert "base composition" in page
    assert "windows seen" in page
    assert 'class="tokens bases"' in page


EACH = [
    {},
    {"data.tokens": "kmers:3", "train.scope": "sample"},
    {"data.tokens": "overlapping:3", "pattern": "spans", "model.equivariant": True},
    {"data.tokens": "pieces:20", "model.kind": "transformer", "efficiency.workers": 2},
    {"pattern": "units:3", "model.corruption": (0.8, 0.1, 0.1), "train.accumulate": 2},
]


@pytest.mark.parametrize(
    "changes", EACH, ids=lambda changes: ",".join(map(str, changes.values())) or "plain"
)
def test_resuming_is_exact(genome, resumed, changes):
    run = resumed(pretrain, genome, **changes)
    # And the model folder is complete.
    codes = torch.from_numpy(encode("ACGTACGTACGTACGTACGTACGT"))[None]
    assert mw.load(run.path / "model").encode(codes).shape[0] == 1


def test_sequences_that_changed_are_not_resumed(genome, tmp_path):
    pretrain(genome, tmp_path / "run")
    genome.write_text(f">one\n{letters(900, 7)}\n")
    with pytest.raises(UserError, match=r"the data of .*run have changed \(sequences"):
        pretrain(genome, tmp_path / "run", resume=True)


def test_sequences_in_memory(tmp_path):
    sequences = [letters(60, seed) for seed in range(40)]
    run = pretrain(sequences, tmp_path / "run", modality="dna")
    assert run.result["data"]["name"] == "sequences"
    assert mw.evaluate(run, sequences).result["data"]["num_train"] > 100
    with pytest.raises(UserError, match="this run was given sequences: give them again"):
        mw.evaluate(run)


def test_regions_are_all_that_is_seen(genome, tmp_path):
    bed = tmp_path / "peaks.bed"
    bed.write_text("".join(f"one\t{start}\t{start + 30}\n" for start in range(0, 600, 40)))
    changes = {"data.regions": str(bed), "data.stride": 24, "train.batch_size": 4}
    run = pretrain(genome, tmp_path / "run", **changes)
    data = run.result["data"]
    # Each region of 30 bases has two windows of 24.
    assert data["num_train"] + data["num_test"] == pytest.approx(30, abs=2)


def test_masks_do_not_depend_on_workers_or_micro_batches(genome, alike):
    alike(pretrain, genome)


@pytest.mark.parametrize("weight", [1.0, 0.25, 0.0])
def test_repeats_count_as_much_as_they_weigh(genome, tmp_path, weight):
    """The loss of a step is the weighted mean over all hidden bases of its batch."""
    config = pretrain(genome, tmp_path / "run", **{"data.repeat_weight": weight}).config
    model = mw.load(tmp_path / "run" / "model")
    splits = mw.api.find("dna").load(None, config)
    fabric = connect(config.efficiency)
    fabric.launch()
    wrapped, _ = setup(fabric, Learner(model), config.train)
    batch = next(Batches(splits.train, batch_size=8, seed=0).read(0, 1, 0))
    plan = plan_of(config, find("dna").augment(config))
    part = prepare(batch, model, plan, fabric.device)
    loss = float(backward(fabric, wrapped, model, part, plan)[0])
    total, weights = 0.0, 0.0
    for codes, hidden in zip(part.samples, part.mask.hidden, strict=True):
        with torch.no_grad():
            each = -model.conditional_log_prob(codes[None], hidden[None])[0]
        for place in hidden.nonzero()[:, 0].tolist():
            w = weight if codes[place] >= 8 else 1.0
            total, weights = total + w * float(each[place]), weights + w
    assert loss == pytest.approx(total / weights, rel=1e-4)


def test_either_strand_is_seen_about_half_of_the_time():
    from maskwise.dna.data import either_strand, other_strand
    from maskwise.rng import Keys

    codes = torch.from_numpy(encode("AACCCGT"))[None].repeat(400, 1)
    codes[:, -1] = 5
    seen = either_strand(codes, Keys(0, 0, torch.arange(400)))
    turned = (seen != codes).any(dim=1)
    assert 160 < int(turned.sum()) < 240
    assert torch.equal(seen[turned], other_strand(codes)[turned])
    for both, expected in ((True, either_strand), (False, None)):
        config = DNARunSettings(data=DNADataSettings(both_strands=both))
        assert find("dna").augment(config) is expected


@pytest.mark.parametrize("tokens", ["bases", "kmers:3"])
def test_the_likelihood_of_a_run(genome, tmp_path, tokens):
    run = pretrain(genome, tmp_path / "run", **{"data.tokens": tokens})
    found = mw.measure_likelihood(run, num_samples=6, passes=6).likelihood
    assert found["words"]["dimension"] == "base"
    assert found["words"]["position"] == ("base" if tokens == "bases" else "token")
    # Untrained, it knows next to nothing: two bits for every base.
    assert found["area"]["bits_per_dim"] == pytest.approx(2, rel=0.1)
    assert "bits per base" in run.report.read_text("utf-8").lower()


def test_a_hidden_base_is_not_seen(genome, tmp_path):
    """The leak test of a whole model with overlapping k-mers."""
    changes = {"data.tokens": "overlapping:3", "pattern": "spans"}
    model = pretrain(genome, tmp_path / "run", **changes).model()
    codes = torch.from_numpy(encode("ACGTTGCAACGTAGCATTGC"))[None]
    hidden = torch.zeros(codes.shape, dtype=torch.bool)
    hidden[0, 5:8] = hidden[0, 15] = True
    other = torch.where(hidden, codes ^ 3, codes)
    torch.testing.assert_close(model(codes, Mask(hidden)), model(other, Mask(hidden)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pattern": "block"}, "pattern block is not for DNA, which has scattered"),
        ({"data.tokens": "overlapping:6"}, "tokens overlapping:6 need pattern=.spans.: every"),
        ({"data.tokens": "codons"}, "tokens 'codons' cannot be read; tokens are bases"),
        ({"data.tokens": "kmers:6", "data.window": 4}, "a window of 4 bases holds no token"),
        (
            {"data.tokens": "pieces:20", "model.equivariant": True},
            "pieces have no opposite strand",
        ),
        (
            {"data.tokens": "overlapping:4", "pattern": "spans", "model.equivariant": True},
            "an equivariant model needs an odd k",
        ),
        ({"model.kernel": 4}, "the kernel of a convolution must be 3, 5, 7"),
        ({"data.heldout": ("four",)}, "no record named four"),
        ({"data.regions": "none.bed"}, "none.bed"),
        ({"evaluate.probes": ("none.tsv",)}, "none.tsv"),
        (
            {"train.batch_size": 4000},
            "a minibatch of 4000 is more than the 104 samples to train on",
        ),
        ({"data.repeat_weight": 2}, "data.repeat_weight=2"),
    ],
)
def test_bad_settings_leave_nothing_behind(genome, tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        pretrain(genome, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_probes_and_fine_tuning_in_a_run(genome, tmp_path):
    rows = [f"{letters(20, seed)}{'GATTACA' if seed % 2 else ''},{seed % 2}" for seed in range(60)]
    (tmp_path / "task.csv").write_text("\n".join(["sequence,label", *rows]))
    evaluate = {
        **TINY["evaluate"],
        "baselines": True,
        "probes": (f"motif={tmp_path / 'task.csv'}",),
        "finetune": {"tasks": (f"motif={tmp_path / 'task.csv'}",), "seeds": (0,), "epochs": 1},
    }
    run = pretrain(genome, tmp_path / "run", evaluate=evaluate)
    rows = run.result["probes"]
    assert {"encoder layer 1", "untrained encoder layer 1", "GC content"} <= {
        row["features"] for row in rows
    }
    assert all({"accuracy", "mcc", "auroc"} <= row.keys() for row in rows)
    assert [row["model"] for row in run.result["finetuning"]] == ["encoder", "untrained encoder"]
    assert "Matthews" in run.report.read_text("utf-8")
    assert json.loads((run.path / "result.json").read_text())["probes"] == rows
