import math
import sys

from benchmarks import likelihood_text


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
