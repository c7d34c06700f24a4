from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwise.rng import Keys, Stream, _mixed, philox, shuffled, uniforms

WORD = st.integers(0, 2**32 - 1)

# Random123, kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def plain_philox(counter: list[int], key: list[int]) -> list[int]:
    """The published algorithm in Python's unbounded integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for step in range(10):
        if step:
            k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return [c0, c1, c2, c3]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter: str, key: str, result: str) -> None:
    k0, k1 = words(key)
    assert philox(torch.tensor(words(counter)), (k0, k1)).tolist() == words(result)
    assert plain_philox(words(counter), words(key)) == words(result)


def test_tensors_are_mixed_as_arrays_are() -> None:
    """On the CPU they are arrays, elsewhere tensors."""
    counters = torch.tensor([words(counter) for counter, _, _ in KNOWN])
    found = torch.stack(_mixed(counters.unbind(-1), (2**32 - 1, 7)), dim=-1)
    assert torch.equal(found, philox(counters, (2**32 - 1, 7)))


@given(st.lists(st.tuples(WORD, WORD, WORD, WORD), min_size=1, max_size=5), WORD, WORD)
def test_philox_equals_its_plain_twin(counters: list, k0: int, k1: int) -> None:
    expected = [plain_philox(list(counter), [k0, k1]) for counter in counters]
    assert philox(torch.tensor(counters), (k0, k1)).tolist() == expected


@given(
    seed=st.integers(-(2**63), 2**64 - 1),
    epoch=st.integers(0, 2**32 - 1),
    sample=st.integers(0, 2**56 - 1),
    stream=st.sampled_from(Stream),
    num=st.integers(1, 9),
)
def test_where_every_key_goes(
    seed: int, epoch: int, sample: int, stream: Stream, num: int
) -> None:
    """The layout is part of every run's meaning: position, id, epoch, high id and stream."""
    seed64 = seed % 2**64
    expected: list[int] = []
    for block in range(3):
        counter = [block, sample % 2**32, epoch, (sample >> 32) * 256 + int(stream)]
        expected += plain_philox(counter, [seed64 % 2**32, seed64 >> 32])
    assert Keys(seed, epoch, torch.tensor([sample])).bits(stream, num).tolist() == [expected[:num]]


@given(st.lists(st.integers(0, 2**56 - 1), min_size=1, max_size=6), st.integers(1, 40))
def test_numbers_depend_on_the_sample_only(ids: list[int], num: int) -> None:
    together = Keys(1, 2, torch.tensor(ids)).bits(Stream.SCORE, num)
    for row, sample in enumerate(ids):
        alone = Keys(1, 2, torch.tensor([sample])).bits(Stream.SCORE, num)
        assert torch.equal(together[row : row + 1], alone)
    backwards = Keys(1, 2, torch.tensor(ids[::-1])).bits(Stream.SCORE, num)
    assert torch.equal(together.flip(0), backwards)
    longer = Keys(1, 2, torch.tensor(ids)).bits(Stream.SCORE, num + 7)
    assert torch.equal(together, longer[:, :num])


def test_every_key_matters() -> None:
    def numbers(
        seed: int = 5, epoch: int = 1, sample: int = 9, stream: Stream = Stream.SCORE
    ) -> tuple[int, ...]:
        return tuple(Keys(seed, epoch, torch.tensor([sample])).bits(stream, 8)[0].tolist())

    seen = [numbers(stream=stream) for stream in Stream]
    seen += [numbers(seed=seed) for seed in (-1, 0, 6, 5 + 2**32, 5 + 2**63, -(2**40))]
    seen += [numbers(epoch=epoch) for epoch in (0, 2, 2**31)]
    seen += [numbers(sample=sample) for sample in (0, 8, 9 + 2**32, 9 + 2**40, 2**56 - 1)]
    assert len(set(seen)) == len(seen)


def test_values_of_a_stream_are_all_different() -> None:
    assert len({int(stream) for stream in Stream}) == len(Stream)
    assert all(0 < stream < 256 for stream in Stream)


@pytest.mark.parametrize("axis", ["positions", "samples", "epochs", "seeds", "steps"])
def test_uniform_along_every_key(axis: str) -> None:
    """Chi-square on 64 cells: the chance that a perfect generator fails is 1e-6."""
    n = 16_384
    if axis == "positions":
        u = Keys(0, 0, torch.tensor([0])).uniform(Stream.SCORE, n)[0].double()
    elif axis in ("samples", "steps"):
        stream = Stream.SCORE if axis == "samples" else Stream.RATIO
        u = uniforms(0, stream, sample_ids=torch.arange(n))
    else:
        n, one = 2048, torch.tensor([0])
        name = axis.removesuffix("s")
        keys = [{"seed": 0, "epoch": 0} | {name: value} for value in range(n)]
        u = torch.cat(
            [uniforms(k["seed"], Stream.SCORE, epoch=k["epoch"], sample_ids=one) for k in keys]
        )
    counts = np.bincount((u.numpy() * 64).astype(int), minlength=64)
    chi_square = ((counts - n / 64) ** 2 / (n / 64)).sum()
    assert counts.sum() == n
    assert stats.chi2.isf(1 - 1e-6, 63) < chi_square < stats.chi2.isf(1e-6, 63)


def test_neighbouring_numbers_are_uncorrelated() -> None:
    """A correlation of n independent pairs is normal with deviation 1 / sqrt(n)."""
    u = Keys(3, 0, torch.arange(512)).uniform(Stream.SCORE, 64).double() - 0.5
    for first, second in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        n = first.numel()
        assert abs(float((first * second).mean()) * 12) < 5 / n**0.5


def test_uniform_takes_the_top_24_bits() -> None:
    keys = Keys(7, 0, torch.arange(50))
    bits, u = keys.bits(Stream.CROP, 33), keys.uniform(Stream.CROP, 33)
    assert u.dtype == torch.float32
    assert u.shape == (50, 33)
    assert torch.equal((u.double() * 2**24).long(), bits // 256)


def test_uniforms_stay_inside_the_open_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.arange(3)
    for word in (0, 2**32 - 1):
        monkeypatch.setattr(
            Keys, "bits", lambda self, stream, num, word=word: torch.full((3, num), word)
        )
        u = uniforms(0, Stream.RATIO, sample_ids=ids)
        assert u.dtype == torch.float64
        assert bool(((u > 0) & (u < 1)).all())


def test_global_generators_are_untouched() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Keys(0, 0, torch.arange(4)).uniform(Stream.SCORE, 9)
    uniforms(0, Stream.RATIO, sample_ids=torch.arange(4))
    shuffled(100, seed=0, epoch=0)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@given(st.integers(0, 200), st.integers(0, 2**64 - 1), st.integers(0, 1000))
def test_shuffled_is_a_permutation(num: int, seed: int, epoch: int) -> None:
    order = shuffled(num, seed=seed, epoch=epoch)
    assert sorted(order.tolist()) == list(range(num))
    assert torch.equal(order, shuffled(num, seed=seed, epoch=epoch))


@pytest.mark.parametrize("num", [0, 1, 2**16, 2**17 + 3])
def test_shuffled_sorts_by_key_then_number(num: int) -> None:
    keys = Keys(-3, 2, torch.arange(num)).bits(Stream.ORDER, 1)[:, 0]
    assert torch.equal(shuffled(num, seed=-3, epoch=2), keys.argsort(stable=True))


def test_shuffled_is_uniform_over_permutations() -> None:
    """Chi-square over the 24 orders of four samples, failing by chance once in a million."""
    n = 2400
    seen = dict.fromkeys(permutations(range(4)), 0)
    for epoch in range(n):
        seen[tuple(shuffled(4, seed=1, epoch=epoch).tolist())] += 1
    counts = np.array(list(seen.values()))
    assert ((counts - n / 24) ** 2 / (n / 24)).sum() < stats.chi2.isf(1e-6, 23)


def test_empty_batches_and_no_numbers() -> None:
    assert Keys(0, 0, torch.tensor([], dtype=torch.int64)).bits(Stream.SCORE, 3).shape == (0, 3)
    assert Keys(0, 0, torch.arange(2)).bits(Stream.SCORE, 0).shape == (2, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_bits_on_a_gpu() -> None:
    ids = torch.tensor([0, 1, 2**40, 2**56 - 1])
    here, there = Keys(-3, 7, ids), Keys(-3, 7, ids.cuda())
    assert torch.equal(here.bits(Stream.SCORE, 1001), there.bits(Stream.SCORE, 1001).cpu())
    assert torch.equal(here.uniform(Stream.SHAPE, 5), there.uniform(Stream.SHAPE, 5).cpu())
