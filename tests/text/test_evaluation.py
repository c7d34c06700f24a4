import json
from collections.abc import Callable
from pathlib import Path

import pytest

from maskwise.errors import UserError
from maskwise.measure.finetuning import FineTune
from maskwise.modality import Source
from maskwise.settings import from_dict, override, to_dict
from maskwise.text.data import TextSplits
from maskwise.text.evaluation import TextEvaluate, check_files, evaluate_text
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]


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
    config = TextEvaluate(
        ratios=(0.5,),
        num_rows=4,
        pairs=(files["pairs"],),
        probes=(files["texts"],),
        token_probes=(files["tags"],),
        finetune=FineTune(tasks=(files["texts"],), seeds=(0,), epochs=1),
    )
    check_files(config)
    assert from_dict(TextEvaluate, to_dict(config)) == config
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
    tuned = [row["model"] for row in found["finetuning"]]
    assert tuned == ["encoder", "untrained encoder"]
    again = evaluate_text(model, splits, config, pattern="scattered", untrained=untrained)
    assert again == found
    alone = override(config, {"baselines": False})
    found = evaluate_text(model, splits, alone, pattern="scattered", untrained=untrained)
    assert {row["features"].split(" layer")[0] for row in found["probes"]} == {"encoder"}
    assert [row["model"] for row in found["finetuning"]] == ["encoder"]


def test_only_losses_without_files(make_language_model: Make, splits: TextSplits) -> None:
    config = TextEvaluate(ratios=(0.5,), num_rows=2)
    found = evaluate_text(make_language_model(), splits, config, pattern="scattered")
    assert (found["probes"], found["minimal_pairs"], found["finetuning"]) == ([], [], [])


def test_files_are_missed_early(tmp_path: Path) -> None:
    files = write_tasks(tmp_path)
    for values in (
        {"pairs": ("absent.txt",)},
        {"probes": (f"{files['pairs']}:absent.txt",)},
        {"token_probes": ("absent.txt:absent.txt",)},
        {"finetune": FineTune(tasks=("absent.txt:absent.txt",))},
    ):
        with pytest.raises(UserError, match=r"absent.txt, which evaluation needs, does not exist"):
            check_files(TextEvaluate(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"probes": "a.tsv"}, {"ratios": "0,0.5"}, {"finetune.tasks": "a"}, {"pools": "x"}]
)
def test_refuses_settings_that_cannot_work(changes: dict[str, str]) -> None:
    with pytest.raises(UserError):
        override(TextEvaluate(), changes)


def test_settings_from_the_command_line() -> None:
    config = override(
        TextEvaluate(),
        {"probes": "a=b:c,d=e:f", "layers": "-1", "finetune.lr": "1e-3", "finetune.seeds": "5"},
    )
    assert config.probes == ("a=b:c", "d=e:f")
    assert config.layers == (-1,)
    assert (config.finetune.lr, config.finetune.seeds) == (1e-3, (5,))
