import json
import logging
import re

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.train.metrics import Metrics

pytest.importorskip("tokenizers")

LINES = [f"line {n} tells of {n * n} cats and some {n % 7} dogs that sat by" for n in range(120)]
TINY = {
    "data.length": 24,
    "data.vocab_size": 300,
    "model": {"width": 16, "depth": 2, "heads": 2},
    "train": {"steps": 6, "batch_size": 8, "log_every": 1},
    "evaluate": {"num_rows": 8, "ratios": (0.15, 0.5), "baselines": False},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 20,
}


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", "utf-8")
    return path


def pretrain(source, out, **changes):
    return mw.pretrain(source, out=out, **{**TINY, **changes})


def test_a_run_on_a_text_file(corpus, tmp_path):
    run = pretrain(corpus, tmp_path / "run", **{"data.document": "line"})
    files = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert {"model/tokenizer.json", "data.json", "report.html", "samples.json"} <= files
    assert run.config.modality == "text"
    counts = json.loads((run.path / "data.json").read_text())["tokens"]
    assert counts["documents"] == 120
    train = run.result["train"]
    ratios = [row["ratio"] for row in run.metrics]
    assert train["encoder_tokens"] == 6 * 8 * 24
    assert train["predicted"] == run.metrics[-1]["predicted"]
    assert 0 < train["predicted"] < sum(r * 8 * 24 for r in ratios) * 1.01
    z = run.embed(["line 3 tells of cats", "some dogs"])
    assert z.shape == (2, 16)
    assert np.isfinite(z).all()
    model = mw.load(run.path)
    alone = model.encode(model.tokenizer.tokenize(["some dogs"]).ids).detach().numpy()
    np.testing.assert_allclose(z[1:], alone, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pattern": "words", "train.scope": "sample"},
        {"pattern": "spans", "model.corruption": (0.8, 0.1, 0.1), "train.accumulate": 2},
        {"pattern": "ngrams", "law": "scheduled:linear,0.3..0.15", "model.predict_fraction": 0.5},
        {"efficiency.workers": 2, "data.document": "line"},
    ],
    ids=lambda changes: ",".join(map(str, changes.values())) or "plain",
)
def test_resuming_is_exact(corpus, resumed, changes):
    resumed(pretrain, corpus, **changes)


def test_a_text_that_changed_is_not_resumed(corpus, tmp_path):
    pretrain(corpus, tmp_path / "run")
    corpus.write_text("another text of many cats\n" * 100, "utf-8")
    with pytest.raises(UserError, match=r"the data of .*run have changed \(tokens\."):
        pretrain(corpus, tmp_path / "run", resume=True)


def test_texts_in_memory(tmp_path):
    run = pretrain(LINES, tmp_path / "run", **{"data.pack": False})
    assert run.result["data"]["name"] == "array"
    assert mw.evaluate(run, LINES).result["data"]["num_train"] == 114
    with pytest.raises(UserError, match="this run was given texts: give them again"):
        mw.evaluate(run)


def test_other_texts_are_read_by_the_tokenizer_of_the_model(corpus, tmp_path):
    """One that is trained on them has other ids, of which the model knows nothing."""
    run = pretrain(corpus, tmp_path / "run", **{"data.document": "line"})
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"quartz zebra {n} vexing" for n in range(120)), "utf-8")
    given = {"data.source": str(other)}
    for call in (mw.evaluate, mw.measure_likelihood):
        with pytest.raises(
            UserError, match=r"of another tokenizer than the model's: give its own"
        ):
            call(run, **given)
    given["data.tokenizer"] = str(run.path / "model" / "tokenizer.json")
    assert mw.evaluate(run, **given).result["data"]["name"] == "other"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda vocab: vocab.update(far=4_000_000_000), "'far' has the id 4,000,000,000, though"),
        (
            lambda vocab: vocab.update(more=300),
            r"is \[300\D.* in the file and \[301\D.* in the model",
        ),
    ],
)
def test_a_tokenizer_that_is_not_of_the_model(corpus, tmp_path, cli, change, says):
    run = pretrain(corpus, tmp_path / "run", **{"data.document": "line"})
    path = run.path / "model" / "tokenizer.json"
    values = json.loads(path.read_text("utf-8"))
    change(values["model"]["vocab"])
    path.write_text(json.dumps(values), "utf-8")
    status, out, err = cli("embed", run.path, corpus, "-o", tmp_path / "z.npy")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"maskwise: {run.path}" if "far" in says else "maskwise: weights")
    assert re.search(says, err)


def test_masks_do_not_depend_on_workers_or_micro_batches(corpus, alike):
    alike(pretrain, corpus)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"pattern": "block"},
            "pattern block is for grids of images; texts have",
        ),
        ({"train.batch_size": 4000}, "a minibatch of 4000 is more than the 94 samples"),
        ({"model.corruption": (0.5, 0.1, 0.1)}, "sum to 0.7: make the sum 1"),
        ({"model.width": 15}, "width 15 over 2 heads must be an even whole number"),
        ({"data.length": 2}, r"length 2 is outside 3\.\."),
        ({"data.tokenizer": "none.json"}, "tokenizer none.json: "),
        ({"evaluate.pairs": ("none.jsonl",)}, "none.jsonl, which evaluation needs, does not"),
        ({"model.pretrained": True}, r"model.pretrained needs model={\"hf\": ...}"),
        ({"data.holdout": 1.5}, "data.holdout=1.5"),
    ],
)
def test_bad_settings_leave_nothing_behind(corpus, tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        pretrain(corpus, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_what_is_left_out_is_told(tmp_path, caplog):
    rows = [*LINES, "", "a"]
    with caplog.at_level(logging.INFO, "maskwise"):
        pretrain(rows, tmp_path / "run")
    assert "2 documents of fewer than two tokens left out" in caplog.text


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_model_of_transformers(language_model, tmp_path, losses, pretrained):
    texts = ["the cat sat on a dog and ran by the mat"] * 40
    model = {"hf": str(language_model), "pretrained": pretrained}
    run = pretrain(texts, tmp_path / "run", model=model, **{"data.length": 16})
    assert run.config.data.pack is False
    assert run.config.data.tokenizer == str(language_model)
    again = mw.load(run.path / "model")
    z = again.encode(again.tokenizer.tokenize(["the cat"]).ids).detach().numpy()
    np.testing.assert_allclose(run.embed(["the cat"]), z, atol=1e-5)
    assert losses(run)[-1] < losses(run)[0] + 1


def test_metrics_count_predictions(tmp_path):
    metrics = Metrics(tmp_path, 0, enabled=True)
    for predicted in (3, 4):
        metrics.add(
            loss=1.0,
            ratio=0.5,
            grad_norm=1.0,
            samples=2,
            encoder_tokens=8,
            predicted=predicted,
            seconds=1,
        )
    assert metrics.write(2, 0, 0.1)["predicted"] == 7


def test_the_likelihood_of_a_run(corpus, tmp_path):
    """Rows of lines hold different numbers of tokens, and several texts."""
    run = pretrain(corpus, tmp_path / "run", **{"data.document": "line", "data.length": 60})
    found = mw.measure_likelihood(run, num_samples=6, passes=6).likelihood
    assert 2 < found["num_dims"] < 60
    assert found["words"]["sample"] == "row"
    assert found["law"]["name"] == "uniform:0.1,0.5"
    # Untrained, it knows next to nothing: about -ln V for every token.
    assert found["area"]["nats"] / found["num_dims"] == pytest.approx(
        found["anchor"]["score"], rel=0.1
    )
    assert "likelihood" in run.report.read_text("utf-8")
