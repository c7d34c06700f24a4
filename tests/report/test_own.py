"""A kind of data that nobody knows brings sections of its own, as data."""

import json

import pytest

from maskwise import words
from maskwise.errors import UserError
from maskwise.files import write_json
from maskwise.report import blocks, folder, write
from maskwise.settings import to_dict
from maskwise.words import Words
from tests.report.conftest import bold, rows_of, section, show

AUDIO = Words(counted=("clips heard", "frames read", "frames predicted"))


def heard(seed):
    line = {"name": "model", "x": [0.1, 0.5], "y": [20, 12.5 - seed]}
    line |= {"low": [19, 11], "high": [21, 14]}
    return {
        "slug": "snr",
        "title": "Signal & noise",
        "text": "How clearly <hidden> frames are heard.",
        "facts": [["signal to noise", 12.5 - seed, "dB"], ["clips", 1200, ""], ["mono", True, ""]],
        "tables": [
            {
                "caption": "By speaker",
                "head": ["speaker", "clips", "dB"],
                "rows": [["<script>Ann", 700, 13.25], ["Bob", 500, None]],
            }
        ],
        "curves": [
            {
                "title": "By ratio",
                "caption": "Higher is clearer.",
                "xlabel": "hidden ratio",
                "ylabel": "dB, $x_",
                "lines": [line, {"name": "silence", "x": [0.1, 0.5], "y": [0, 0]}],
            }
        ],
    }


@pytest.fixture
def clip(tmp_path):
    """Make a run folder of audio, with no more in it than a run must have."""

    def make(name, *sections):
        path = tmp_path / name
        path.mkdir()
        config = {"modality": "audio", "data": {"source": "clips"}, "law": "cosine", "train": {}}
        (path / "config.json").write_text(json.dumps(config))
        (path / "env.json").write_text("{}")
        (path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0, "encoder_tokens": 3}\n')
        result = {"probes": [], "train": {"num_samples": 5}, "sections": list(sections)}
        (path / "result.json").write_text(json.dumps(result))
        write_json(path / words.NAME, to_dict(AUDIO))
        return path

    return make


def test_a_section_of_its_own(clip):
    page = write([clip("a", heard(0), {"slug": "more-of-it", "title": "More"})]).read_text("utf-8")
    part = section(page, "snr")
    assert "Signal &amp; noise</h2>" in part
    assert "How clearly &lt;hidden&gt; frames" in part
    facts = {"signal to noise": "12.5<small>dB</small>", "clips": "1,200", "mono": "yes"}
    for label, value in facts.items():
        assert f"<dt>{label}</dt><dd>{value}" in part
    assert rows_of(part) == [["&lt;script&gt;Ann", "700", "13.25"], ["Bob", "500", "none"]]
    assert part.count("<svg") == 1
    for said in ("model", "silence", "dB, $x_"):
        assert f"{said}</text>" in part
    assert "Higher is clearer." in part
    assert "clips heard</dt><dd>5" in page
    assert page.index('id="snr"') < page.index('id="more-of-it"') < page.index('id="law"')
    assert "<script" not in page


def test_sections_of_runs_stand_side_by_side(clip):
    runs = [clip("a", heard(0)), clip("b", heard(1)), clip("c")]
    page = write(runs).read_text("utf-8")
    part = section(page, "snr")
    assert bold(part) == []
    rows = rows_of(part)
    assert rows[:2] == [["a", "12.5 dB", "1,200", "yes"], ["b", "11.5 dB", "1,200", "yes"]]
    assert [row[0] for row in rows[2:]] == ["&lt;script&gt;Ann", "Bob"] * 2
    assert "<h3>a</h3>" in part
    assert "<h3>b</h3>" in part
    assert part.count("<svg") == 1
    for name in ("a: model", "b: model", "b: silence"):
        assert f"{name}</text>" in part
    assert "frames read</text>" in section(page, "loss")
    assert blocks.own_sections([folder.read(runs[2])]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slug": None}, "slug"),
        ({"titel": "x"}, "unknown key 'titel'; did you mean 'title'?"),
        ({"facts": [["label only"]]}, "facts.0"),
        ({"tables": [{"caption": "x", "head": ["a"], "rows": [[{}]]}]}, "tables.0.rows"),
        ({"curves": [{"title": "x"}]}, "curves.0"),
    ],
)
def test_what_cannot_be_read_is_named(clip, changes, message):
    run = clip("a", heard(0) | changes)
    with pytest.raises(UserError) as error:
        show(blocks.own_sections, run)
    assert str(error.value).startswith(f"{run / 'result.json'}: a section cannot be read: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_lines_have_one_length(clip):
    bad = heard(0)
    bad["curves"][0]["lines"][0]["y"] = [1]
    with pytest.raises(UserError, match="line 'model': x, y, low and high are not of one length"):
        show(blocks.own_sections, clip("a", bad))
    with pytest.raises(UserError, match="a section cannot be read"):
        show(blocks.own_sections, clip("b", "a text"))
