"""What users say is hidden: positions, places of a grid, pixels."""

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.images.images import array_source
from maskwise.modality import Incomplete
from maskwise.predict.hiding import positions, read_hidden, without


@pytest.fixture
def model(make_model):
    """Of images of 4 x 6 pixels in 2 x 3 patches."""
    return make_model()


@pytest.fixture
def three():
    """Three samples, of which the second was not read."""
    source = array_source(np.zeros((2, 4, 6, 2), np.uint8))
    return Incomplete(source, broken={1: "broken"})


def test_positions_places_and_pixels_say_the_same(model, three):
    hidden = np.zeros((3, 6), dtype=bool)
    hidden[0, 1] = hidden[2, 5] = hidden[1, 0] = True
    pixels = np.zeros((3, 4, 6), dtype=bool)
    pixels[0, 1, 2] = pixels[2, 3, 5] = pixels[1, 0, 0] = True  # one of a patch is enough
    want = hidden[[0, 2]].tolist()
    for given in (hidden, hidden.reshape(3, 2, 3), pixels):
        assert positions(given, model, three).tolist() == want


def test_bases_of_kmers(make_dna_model):
    model = make_dna_model(window=6, tokens="kmers:3")

    class Codes:
        def __len__(self):
            return 1

        def get(self, rows):
            return torch.zeros(len(rows), 6, dtype=torch.uint8)

    hidden = np.array([[False, False, False, False, True, False]])
    assert positions(hidden, model, Incomplete(Codes())).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("hidden", "says"),
    [
        (np.zeros((3, 6)), "hidden is an array of float64: give bool, True = hidden"),
        (np.zeros((2, 6), bool), r"\(2, 6\): give \(3, 6\) or \(3, 2, 3\) or \(3, 4, 6\)"),
        (np.zeros((3, 6, 4), bool), r"has the shape \(3, 6, 4\)"),
        (np.zeros(3, bool), r"has the shape \(3,\)"),
    ],
)
def test_what_is_none(hidden, says, model, three):
    with pytest.raises(UserError, match=says):
        positions(hidden, model, three)


def test_a_file_of_it(tmp_path):
    np.save(tmp_path / "hidden.npy", np.eye(2, dtype=bool))
    assert read_hidden(tmp_path / "hidden.npy").tolist() == [[True, False], [False, True]]
    (tmp_path / "hidden.npy").write_text("no array")
    with pytest.raises(UserError, match="cannot be read as an array"):
        read_hidden(tmp_path / "hidden.npy")


def test_positions_that_tell_the_label_never_were_there(model, three):
    assert without(model, three, ()) is three
    found = without(model, three._replace(hidden=np.eye(2, 6, dtype=bool)), (5,))
    assert found.hidden.tolist() == [
        [True, False, False, False, False, True],
        [False, True, False, False, False, True],
    ]
    assert found.whole.tolist() == [5, 5]
