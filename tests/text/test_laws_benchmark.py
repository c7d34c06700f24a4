import math
import sys

import pytest

from benchmarks import likelihood_text, text_laws


def test_a_model_of_transformers(language_model, tmp_path, monkeypatch, capsys):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on a dog and ran by the mat\n" * 40, "utf-8")
    out = tmp_path / "out"
    words = ["likelihood_text", "--text", path, "--out", out, "--model", language_model]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    likelihood_text.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["| trained", "| untrained", "| uniform predictor"]
    trained, untrained, uniform = ([float(cell.rstrip(" |")) for cell in row[1:]] for row in rows)
    assert uniform[0] == round(math.log2(13), 3)
    assert len({trained[0], untrained[0], uniform[0]}) == 3
    # 11 tokens and 40 bytes a line; windows cut lines.
    for bits, per_byte, *_ in (trained, untrained, uniform):
        assert 0.9 < per_byte / bits / (11 / 40) < 1.1
    assert (out / "model.png").stat().st_size > 0


@pytest.mark.slow
def test_laws_are_compared_at_equal_steps_and_predictions(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tokenizers")
    lines = [f"line {n} tells of {n * n} cats and some {n % 7} dogs" for n in range(900)]
    (tmp_path / "text.txt").write_text("\n".join(lines), "utf-8")
    text, out = str(tmp_path / "text.txt"), str(tmp_path / "laws")
    monkeypatch.setattr(text_laws, "LAWS", ("fixed:0.15", "fixed:0.45", "uniform:0.1,0.8"))
    common = ["--steps", "4", "--width", "32", "--depth", "1", "--seeds", "0", "1"]

    def run(*words):
        monkeypatch.setattr("sys.argv", ["text_laws", *words, "--out", out])
        text_laws.main()
        return capsys.readouterr().out

    assert len(run("train", text, "--heldout", text, *common).splitlines()) == 12
    assert run("train", text, "--heldout", text, *common) == ""  # all there already
    assert len(run("evaluate").splitlines()) == 12
    printed = run("table")
    steps, predictions = printed.split("Equal predictions:")
    assert steps.count("| 4 |") == 3
    for law, num in zip(text_laws.LAWS, (6, 2, 2), strict=True):
        assert f"| `{law}` | {num} |" in predictions
    assert "unigram, loss at 0.15" in predictions
