import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.measure.finetuning import FineTuneSettings
from maskwise.modality import Source
from maskwise.settings import from_dict, override, to_dict
from maskwise.text.data import TextSplits
from maskwise.text.evaluation import (
    TextEvaluateSettings,
    bag_of_words,
    check_files,
    evaluate_text,
    most_frequent,
    text_probes,
    word_probes,
)
from maskwise.text.tasks import TextTask, WordTask
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
NOUNS = ("cat", "dog")


@pytest.fixture
def splits(rows: Callable[[int], Source]) -> TextSplits:
    return TextSplits(rows(20), rows(9), "made up")  # type: ignore[arg-type]


def write_tasks(folder: Path) -> dict[str, str]:
    texts = [f"{'ab'[i % 2]}\tthe {('cat', 'dog')[i % 2]} sat on {i}" for i in range(12)]
    (folder / "texts.tsv").write_text("\n".join(["label\ttext", *texts]), encoding="utf-8")
    tags = [f"{i % 5 + 1}\t{('cat', 'ran')[i % 2]}\t{'NV'[i % 2]}\n" for i in range(12)]
    (folder / "tags.tsv").write_text("\n".join(tags), encoding="utf-8")
    (folder / "pairs.txt").write_text("cat the\nthe cat\nsat a\na cat\n", encoding="utf-8")
    return {
        "texts": f"{folder}/texts.tsv:{folder}/texts.tsv",
        "tags": f"{folder}/tags.tsv:{folder}/tags.tsv",
        "pairs": f"{folder}/pairs.txt",
    }


def test_everything(make_language_model: Make, splits: TextSplits, tmp_path: Path) -> None:
    files = write_tasks(tmp_path)
    config = TextEvaluateSettings(
        ratios=(0.5,),
        num_rows=4,
        pairs=(files["pairs"],),
        probes=(files["texts"],),
        token_probes=(files["tags"],),
        finetune=FineTuneSettings(tasks=(files["texts"],), seeds=(0,), epochs=1),
        visible=(0.5, 1.0),
        visible_patterns=("random",),
    )
    check_files(config)
    assert from_dict(TextEvaluateSettings, to_dict(config)) == config
    model, untrained = make_language_model(), make_language_model(width=8)
    found = evaluate_text(model, splits, config, pattern="scattered", untrained=untrained)
    assert json.loads(json.dumps(found)) == found
    assert found["data"] == {
        **{"name": "made up", "num_train": 20, "num_test": 9, "shape": [24], "classes": None}
    }
    assert found["reconstruction"]["num_samples"] == 4
    assert [row["name"] for row in found["minimal_pairs"]] == ["pairs"]
    kinds = [(row["task"], row["features"]) for row in found["probes"]]
    layers = [f"{kind} layer {i}" for kind in ("encoder", "untrained encoder") for i in (0, 1)]
    assert list(dict.fromkeys(kinds)) == [
        *[("texts", f"{layer}, mean") for layer in layers],
        ("texts", "bag of words"),
        *[("tags", layer) for layer in layers],
        ("tags", "most frequent tag of the word"),
    ]
    methods = ["encoder", "bag of visible tokens", "class frequencies"]
    assert [row["method"] for row in found["partial"]] == methods * 2
    assert {row["task"] for row in found["partial"]} == {"texts"}
    # "cat" or "dog" says it all, and half of a text holds it half of the time.
    half, whole = (found["partial"][place]["accuracy"]["value"] for place in (1, 4))
    assert whole == 1 > half >= 0.5
    tuned = [row["model"] for row in found["finetuning"]]
    assert tuned == ["encoder", "untrained encoder"]
    again = evaluate_text(model, splits, config, pattern="scattered", untrained=untrained)
    assert again == found
    alone = override(config, {"baselines": False})
    found = evaluate_text(model, splits, alone, pattern="scattered", untrained=untrained)
    assert {row["features"].split(" layer")[0] for row in found["probes"]} == {"encoder"}
    assert [row["method"] for row in found["partial"]] == [methods[0], methods[2]] * 2
    assert [row["model"] for row in found["finetuning"]] == ["encoder"]


def test_only_losses_without_files(make_language_model: Make, splits: TextSplits) -> None:
    config = TextEvaluateSettings(ratios=(0.5,), num_rows=2)
    found = evaluate_text(make_language_model(), splits, config, pattern="scattered")
    assert (found["probes"], found["minimal_pairs"], found["finetuning"]) == ([], [], [])


def test_files_are_missed_early(tmp_path: Path) -> None:
    files = write_tasks(tmp_path)
    for values in (
        {"pairs": ("absent.txt",)},
        {"probes": (f"{files['pairs']}:absent.txt",)},
        {"token_probes": ("absent.txt:absent.txt",)},
        {"finetune": FineTuneSettings(tasks=("absent.txt:absent.txt",))},
    ):
        with pytest.raises(UserError, match=r"absent.txt, which evaluation needs, does not exist"):
            check_files(TextEvaluateSettings(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"probes": "a.tsv"}, {"ratios": "0,0.5"}, {"finetune.tasks": "a"}, {"pools": "x"}]
)
def test_refuses_settings_that_cannot_work(changes: dict[str, str]) -> None:
    with pytest.raises(UserError):
        override(TextEvaluateSettings(), changes)


def test_settings_from_the_command_line() -> None:
    config = override(
        TextEvaluateSettings(),
        {"probes": "a=b:c,d=e:f", "layers": "-1", "finetune.lr": "1e-3", "finetune.seeds": "5"},
    )
    assert config.probes == ("a=b:c", "d=e:f")
    assert config.layers == (-1,)
    assert (config.finetune.lr, config.finetune.seeds) == (1e-3, (5,))


def make_task(num: int = 60) -> TextTask:
    """Texts with a cat or a dog in them; which one is the class."""
    rng = np.random.default_rng(0)
    fillers = ["the mat", "sat", "on", "lay by", "ran", "a"]
    texts, y = [], np.arange(num) % 2
    for label in y:
        words = rng.choice(fillers, 3).tolist()
        words.insert(rng.integers(4), NOUNS[label])
        texts.append(" ".join(words))
    half = num // 2
    return TextTask("animals", texts[:half], y[:half], texts[half:], y[half:], NOUNS)


def test_a_word_that_decides_is_found_at_every_layer(make_language_model: Make) -> None:
    models = {"encoder": make_language_model(), "untrained encoder": make_language_model(width=8)}
    rows = text_probes(models, make_task(), TextEvaluateSettings(pools=("mean", "both")))
    assert [row["features"] for row in rows[::2]] == [
        *[f"encoder layer {layer}, {pool}" for layer in (0, 1) for pool in ("mean", "both")],
        *[f"untrained encoder layer {i}, {pool}" for i in (0, 1) for pool in ("mean", "both")],
        "bag of words",
    ]
    protocols = [row["protocol"].split()[0] for row in rows]
    assert protocols == ["logistic-lbfgs", "knn"] * 8 + ["logistic"]
    assert rows[0]["accuracy"] == rows[-1]["accuracy"] == 1
    for row in rows:
        assert row["task"] == "animals"
        assert (row["num_train"], row["num_test"], row["note"]) == (30, 30, "")
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
    assert json.loads(json.dumps(rows)) == rows


def test_layers_as_asked_for(make_language_model: Make) -> None:
    models = {"encoder": make_language_model(depth=3)}
    task = make_task()
    config = TextEvaluateSettings(layers=(-1, 0), protocols=("knn",), baselines=False)
    rows = text_probes(models, task, config)
    assert [row["features"] for row in rows] == ["encoder layer 2, mean", "encoder layer 0, mean"]
    with pytest.raises(UserError, match="layer 3 is outside"):
        text_probes(models, task, TextEvaluateSettings(layers=(3,)))


def test_notes_count_what_is_cut_and_classes_never_seen(make_language_model: Make) -> None:
    task = make_task()
    task.train[0] += " on the mat" * 9
    task.test_y[:3] = 2
    models = {"encoder": make_language_model()}
    *rows, words = text_probes(models, task, TextEvaluateSettings())
    unseen = "3 test samples of classes without training samples"
    assert {row["note"] for row in rows} == {f"{unseen}; 1 texts cut at 22 tokens"}
    assert words["note"] == unseen
    assert words["accuracy"] == pytest.approx(27 / 30)


def test_marks_are_words_too() -> None:
    train = np.array(["it is !", "it is ?"] * 5)
    y = np.array([0, 1] * 5)
    found, _ = bag_of_words(train, y, np.array(["this was ?", "so !"]))
    assert found.tolist() == [1, 0]


def make_words(num: int) -> tuple[list[list[str]], np.ndarray]:
    rng = np.random.default_rng(num)
    kinds = [["the", "a"], ["cat", "dog", "mat"], ["sat", "ran", "saw"]]
    tags = [rng.integers(0, 3, rng.integers(1, 7)) for _ in range(num)]
    sentences = [[str(rng.choice(kinds[tag])) for tag in each] for each in tags]
    return sentences, np.concatenate(tags)


def test_tags_of_words(make_language_model: Make) -> None:
    train, test = make_words(80), make_words(40)
    task = WordTask("tags", *train, *test)
    rows = word_probes({"encoder": make_language_model()}, task, TextEvaluateSettings())
    names = ["encoder layer 0", "encoder layer 1", "most frequent tag of the word"]
    assert [row["features"] for row in rows] == names
    assert [row["accuracy"] for row in rows] == [1, 1, 1]
    assert {row["num_test"] for row in rows} == {len(test[1])}
    assert json.loads(json.dumps(rows)) == rows


def test_words_cut_off_are_left_out_and_counted(make_language_model: Make) -> None:
    (train, train_y), (test, test_y) = make_words(80), make_words(40)
    test[0], test_y = ["the"] * 25, np.concatenate([np.zeros(25, int), test_y[len(test[0]) :]])
    task = WordTask("tags", train, train_y, test, test_y)
    models = {"encoder": make_language_model()}
    row, baseline = word_probes(models, task, TextEvaluateSettings(layers=(0,)))
    assert row["note"] == "3 words without tokens of their own left out"
    assert row["num_test"] == len(test_y) - 3
    assert baseline["num_test"] == len(test_y)


def test_intervals_are_of_sentences() -> None:
    """Words of a sentence that are right or wrong together say no more than one of them."""
    words = [[f"w{i}"] * 20 for i in range(50)]
    truth = np.repeat(np.arange(50) % 2, 20)
    task = WordTask("same", words[:2], truth[:40], words, truth)
    [row] = word_probes({}, task, TextEvaluateSettings())
    # Half of the words are guessed right, and w1 is known.
    assert row["accuracy"] == 26 / 50
    width = 2 * 1.96 * 0.5 / 50**0.5
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.15)


def test_most_frequent_tag() -> None:
    train = np.array(["a", "b", "a", "a", "c", "c"])
    y = np.array([1, 0, 1, 0, 2, 2])
    found, _ = most_frequent(train, y, np.array(["a", "c", "b", "new"]))
    assert found.tolist() == [1, 2, 0, 0]
