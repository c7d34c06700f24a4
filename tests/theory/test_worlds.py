"""Worlds: what they hold, and what they refuse."""

import itertools

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.theory import World, bit_world

PAIR = [[0, 0], [1, 1]]
BAD = [
    (lambda: World([0, 1], [0.5, 0.5]), "samples of shape (2,)"),
    (lambda: World([[0, 1]], [1.0]), "samples of shape (1, 2)"),
    (lambda: World([[0], [1]], [0.5, 0.5]), "samples of shape (2, 1)"),
    (lambda: World(PAIR, [1.0]), "2 samples and probabilities of shape (1,)"),
    (lambda: World(PAIR, [0.5, 0.6]), "probabilities sum to 1.1, not to 1"),
    (lambda: World(PAIR, [1.5, -0.5]), "probabilities must be finite and >= 0"),
    (lambda: World(PAIR, [0.5, np.nan]), "probabilities must be finite and >= 0"),
    (lambda: World(PAIR, [0.5, 0.5], [0]), "2 samples, but classes of shape (1,)"),
    (lambda: World(PAIR, [0.5, 0.5], [[0.5, 0.5]]), "2 samples, but classes of shape (1, 2)"),
    (
        lambda: World(PAIR, [0.5, 0.5], [[0.5, 0.5], [0.5, 0.1]]),
        "class probabilities of each sample sum to 0.6, not to 1",
    ),
    (lambda: bit_world([], 0.1), "0 bits"),
    (lambda: bit_world(["0"], 0.1), "1 bits: give 2 to 16"),
    (lambda: bit_world(["0" * 17], 0.1), "17 bits: give 2 to 16"),
    (lambda: bit_world(["00", "111"], 0.1), "must be strings of 0 and 1 of one length"),
    (lambda: bit_world(["02"], 0.1), "must be strings of 0 and 1 of one length"),
    (lambda: bit_world(["000"], 0.1, unit=2), "unit 2 does not divide 3 bits"),
    (lambda: bit_world(["00"], 1.5), "flip 1.5 is no probability"),
    (lambda: bit_world(["00"], 0.5, unit_flip=np.nan), "unit_flip nan is no probability"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bits_are_flipped_in_units_and_alone():
    """Brute force over the class, both flips of units and all flips of single bits."""
    prototypes, flip, unit_flip = ["0001", "1110"], 0.05, 0.25
    expected = np.zeros((16, 2))
    for label, *units in itertools.product((0, 1), (0, 1), (0, 1)):
        for bits in itertools.product((0, 1), repeat=4):
            shared = np.repeat(units, 2)
            x = (np.array(list(prototypes[label]), dtype=int) + shared + bits) % 2
            chance = 0.5 * np.prod(np.where(units, unit_flip, 1 - unit_flip))
            chance *= np.prod(np.where(bits, flip, 1 - flip))
            expected[int("".join(map(str, x)), 2), label] += chance
    world = bit_world(prototypes, flip, unit=2, unit_flip=unit_flip)
    codes = world.samples @ [8, 4, 2, 1]
    np.testing.assert_allclose(world.probability, expected.sum(1)[codes])
    np.testing.assert_allclose(world.posterior * world.probability[:, None], expected[codes])


def test_what_never_happens_is_left_out():
    assert len(bit_world(["000", "011"], 0.0).samples) == 2
    world = World([[0, 0], [0, 1], [1, 1]], [0.5, 0.0, 0.5], ["a", "b", "c"])
    assert world.samples.tolist() == PAIR
    assert world.posterior.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert World(PAIR, [0.5, 0.5]).posterior is None
