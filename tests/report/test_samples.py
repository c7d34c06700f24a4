"""Pictures, marked tokens and rows."""

import base64
import io
import json
import re
from html import unescape

import numpy as np
from matplotlib.image import imread

from maskwise.report import figures, folder, samples
from tests.report.conftest import change, section, show

LEAK = "uses true patch statistics: leaks, display only"


def plain(markup):
    return unescape(re.sub(r"<[^>]+>", "", markup))


def test_normalised_targets_leak_in_the_last_row(make, page):
    part = section(page("images"), "samples")
    assert LEAK in part
    assert "normalised pixel values" in part
    run = make("images")
    found = json.loads((run / "result.json").read_text("utf-8"))["reconstruction"]
    change(run, reconstruction=found | {"target": "raw"})
    part = show(samples.sections, run)
    assert LEAK not in part
    assert part.count("<img ") == 4 * 3


def test_strips_show_pixels_as_they_are():
    images = np.random.default_rng(0).random((2, 4, 4, 3)).round(1)
    data = base64.b64decode(samples.png_uri(images).split(",")[1])
    sheet = imread(io.BytesIO(data))
    assert sheet.shape[0] == 64
    for left, image in ((0, images[0]), (sheet.shape[1] - 64, images[1])):
        shown = sheet[8::16, left + 8 : left + 64 : 16, :3]
        np.testing.assert_allclose(shown, image, atol=1 / 255)


def test_images_of_other_channel_counts(make):
    run = make("images")
    with np.load(run / "samples.npz") as arrays:
        stored = dict(arrays)
    for name in ("images", "filled_visible", "filled_true"):
        stored[name] = np.repeat(stored[name], 5, axis=-1)
    np.savez(run / "samples.npz", **stored)
    assert "5 channels; 3 are shown" in show(samples.sections, run)


def test_hidden_tokens_are_marked_in_the_text(make):
    def token(place, right, *guesses):
        found = {"place": place, "probability": 0.4 if right else 0.0213, "right": right}
        return found | {"guesses": [[text, 0.4 / rank] for rank, text in enumerate(guesses, 1)]}

    wrong = [token(2, False, " and", "\n"), token(4, False, " at", "it")]
    right, last = token(1, True, " cat", " dog"), token(7, False, " <i>", " dog")
    masks = [{"ratio": 0.15, "hidden": [right]}, {"ratio": 0.5, "hidden": [right, *wrong, last]}]
    documents = [[" The", " cat", "\n", " s", "at", " <b>"], [" A", " dog"]]
    run = make("text")
    change(run, "samples.json", rows=[{"documents": documents, "masks": masks}])
    part = show(samples.sections, run)
    assert part.count('<div class="tokens">') == 2
    low, high = re.findall(r'<div class="tokens">(.*?)</div>', part, re.DOTALL)
    found = re.findall(r"<p>(.*?)</p>", low, re.DOTALL)
    assert [plain(each) for each in found] == ["The cat\n sat <b>", "A dog"]
    assert low.count("<mark") == 1
    marks = r'<mark class="(\w+)"[^>]*>(.*?)</mark>(?:<rp> \(</rp><rt>(.*?)</rt>)?'
    assert re.findall(marks, high) == [
        ("right", "cat", ""),
        ("wrong", "and", "↵"),
        # These differ in the space alone.
        ("wrong", "␣at", "at"),
        ("wrong", "&lt;i&gt;", "dog"),
    ]
    # The line is still broken where a hidden token breaks it.
    assert "</ruby>\n" in high
    assert 'title="and 40.0 %, ↵ 20.0 %; true: ↵ 2.1 %"' in high
    assert "1 of 8 tokens are hidden; 1 of them (100.0 %) are predicted right." in part
    assert "4 of 8 tokens are hidden; 1 of them (25.0 %) are predicted right." in part


def test_bases_stand_below_each_other(page):
    assert '<div class="tokens bases">' in page("dna")


CLASSES = ["B cell", "CD4+ T cell", "a monocyte whose name is long enough to be cut off"]
NAMES = ["CD3E", "CD19", "LYZ", "NKG7", "$x_1$"]


def drawn_rows():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    places = rng.normal(size=(200, 2)) + 4 * np.stack([labels, labels % 2], axis=1)
    true = rng.normal(size=(8, len(NAMES))).round(2).tolist()
    true[1][2] = None
    hidden = rng.random((8, len(NAMES))) < 0.5
    hidden[1, 2] = False
    rows = {"ratio": 0.5, "num_features": 2000, "names": NAMES, "true": true}
    rows |= {"hidden": hidden.tolist(), "predicted": rng.normal(size=(8, len(NAMES))).tolist()}
    return {
        "points": {"encoder": places.tolist(), "raw values": places[:, ::-1].tolist()},
        "explained": {"encoder": [0.4, 0.21], "raw values": [0.3, 0.1]},
        "labels": labels.tolist(),
        "classes": CLASSES,
        "rows": rows,
    }


def maps(found):
    """The markup of the pictures of features."""
    return "".join(samples._map(name, points, found) for name, points in found["points"].items())


def test_the_map_has_a_colour_for_each_class(make, drawn):
    run, found = make("cells"), drawn_rows()
    change(run, "samples.json", **found)
    assert "40 % and 21 % of the variance" in show(samples.sections, run)
    part = maps(found)
    for name in ("B cell", "CD4+ T cell", "a monocyte whose name is…"):
        assert part.count(f"{name}</text>") == 2
    # A dot for each sample in each map, beside those of the legends.
    assert part.count("<use ") >= 400
    part = maps(found | {"labels": None, "classes": None})
    assert "B cell" not in part
    assert "other</text>" not in part
    # More classes than looks: the rarest share one, and no two are merged for their names.
    found["classes"] = ["a class with a long name, number " + str(n) for n in range(20)]
    found["labels"] = [n % 20 for n in range(200)]
    found["labels"][-2:] = [-1, 0]
    part = maps(found)
    assert part.count("a class with a long name…</text>") == 2 * 18
    assert part.count("other</text>") == 2


def test_hidden_values_are_blank_and_filled_in(monkeypatch):
    drawn = []
    monkeypatch.setattr(samples, "svg", lambda label, plot, size: drawn.append(plot) or "")
    found = drawn_rows()["rows"]
    figure = samples._filled(found)
    assert "8 held-out samples (a row each) and 5 of 2,000 features; ratio 0.5" in figure.caption
    [mesh] = figures.draw(drawn[0], (5, 4)).axes[0].collections
    sheet = mesh.get_array().reshape(26, 5)
    true, visible, filled = sheet[:8], sheet[9:17], sheet[18:]
    hidden = np.array(found["hidden"])
    missing = np.array(found["true"], float) != np.array(found["true"], float)
    assert missing.sum() == 1
    np.testing.assert_array_equal(true.mask, missing)
    np.testing.assert_array_equal(visible.mask, missing | hidden)
    np.testing.assert_array_equal(filled.mask, missing)
    assert (filled[~hidden] == true[~hidden]).all()
    assert (filled[hidden] != true[hidden]).mean() > 0.8
    assert (true.min(axis=0).tolist(), true.max(axis=0).tolist()) == ([0] * 5, [1] * 5)


def test_data_that_are_shown_in_no_way_have_no_section(make):
    run = make("cells")
    (run / "words.json").unlink()
    assert samples.sections([folder.read(run)]) == []
