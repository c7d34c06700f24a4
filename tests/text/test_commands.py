import re

import pytest


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on a dog and ran by the mat\n" * 12, "utf-8")
    return path


FEW = ["--num-samples", 6, "--passes", 5, "--length", 8]


def area(line):
    return float(re.search(r"bound: (\S+) nats per window", line)[1])


def test_the_likelihood_of_a_text(cli, language_model, text, tmp_path):
    words = ("likelihood", language_model, "--text", text, *FEW)
    status, out, err = cli(*words)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [str(language_model), "hidden  ratio  nats per token, 95 % interval"]
    assert [line.split()[0] for line in lines[2:8]] == ["1", "2", "3", "4", "5", "6"]
    assert "bits per token" in lines[8]
    assert "over 6 test windows of text.txt" in lines[9]
    assert re.match(r"per token: -\d\.\d+ nats, perplexity .*; per byte of the text", lines[10])
    assert lines[11].startswith("uniform predictor, -ln 13: -15.4 nats per window, 3.700 bits")
    assert lines[12].startswith("warning: which ratios the training hid is not known")
    assert len(lines) == 13

    picture = tmp_path / "made" / "curve.png"
    status, out, err = cli(*words, "--untrained", "-o", picture)
    assert (status, err) == (0, "")
    both = out.splitlines()
    assert both[:13] == lines
    assert both[13] == f"{language_model}, untrained"
    assert area(both[21]) != area(lines[8])
    assert both[26:] == [f"picture: {picture}"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_defaults(cli, language_model, text):
    status, out, _ = cli("likelihood", language_model, "--text", text)
    # 132 tokens make 7 windows of 18, the most that the model can take.
    assert status == 0
    assert "over 7 test windows" in out
    assert "(64 passes)" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("{model}", "is a model of transformers: give --text FILE too"),
        ("{model} --untrained", "--length and --untrained are for language models"),
        ("{model} --length 9", "--length and --untrained are for language models"),
        ("{model} --text none.txt", "cannot read none.txt: No such file"),
        ("{model} --text {text} --length 80", "length 80 is outside 3..20"),
        ("{model} --text {text} --passes 1", "passes 1 give no standard error"),
        ("{model} --text {text} --num-samples 1", "1 test samples give no standard error"),
        ("{model} --text {text} --data.source digits", "unknown option '--data.source'"),
        ("{folder} --text {text}", "cannot be loaded"),
        ("{folder}/none --text {text}", "none is no folder"),
    ],
)
def test_bad_input_is_one_line(cli, language_model, text, tmp_path, words, says):
    words = words.format(model=language_model, text=text, folder=tmp_path).split()
    status, out, err = cli("likelihood", *words, "-o", tmp_path / "made.png")
    assert (status, out) == (2, "")
    assert says in err
    assert err.startswith("maskwise: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "made.png").exists()
