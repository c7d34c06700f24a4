import pytest
import torch
from scipy import stats

from maskwise import UserError
from maskwise.objectives.cross_entropy import corrupt
from maskwise.rng import Keys

BATCH, LENGTH, NUM_TOKENS, MASK = 200, 50, 60, 4
ALPHABET = torch.arange(NUM_TOKENS) >= 6
ALPHABET[[20, 59]] = False


def keys(batch: int = BATCH, **changes: int) -> Keys:
    return Keys(**({"seed": 1, "epoch": 0, "sample_ids": torch.arange(batch)} | changes))


@pytest.fixture
def ids() -> torch.Tensor:
    # Token 6 everywhere, so that what changes is seen, but for one random token in 52.
    return torch.full((BATCH, LENGTH), 6)


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.rand(BATCH, LENGTH, generator=torch.Generator().manual_seed(0)) < 0.6


def test_all_hidden_become_the_mask_token(ids: torch.Tensor, hidden: torch.Tensor) -> None:
    seen = corrupt(ids, hidden, keys(), mask=MASK, alphabet=ALPHABET)
    assert bool((seen[hidden] == MASK).all())
    assert torch.equal(seen[~hidden], ids[~hidden])
    assert bool((ids == 6).all())


@pytest.mark.parametrize(
    "shares", [(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.9, 0.0, 0.1), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
)
def test_shares(
    ids: torch.Tensor, hidden: torch.Tensor, shares: tuple[float, float, float]
) -> None:
    seen = corrupt(ids, hidden, keys(), mask=MASK, alphabet=ALPHABET, shares=shares)
    assert torch.equal(seen[~hidden], ids[~hidden])
    num, same = int(hidden.sum()), 1 / int(ALPHABET.sum())
    masked, stays = int((seen[hidden] == MASK).sum()), int((seen[hidden] == 6).sum())
    for found, share in (
        (masked, shares[0]),
        (num - masked - stays, shares[1] * (1 - same)),
        (stays, shares[2] + shares[1] * same),
    ):
        low, high = stats.binom.interval(1 - 1e-6, num, share)
        assert low <= found <= high


def test_random_tokens_are_uniform_over_the_alphabet(ids: torch.Tensor) -> None:
    everything = torch.ones_like(ids, dtype=torch.bool)
    seen = corrupt(ids, everything, keys(), mask=MASK, alphabet=ALPHABET, shares=(0, 1, 0))
    times = seen.flatten().bincount(minlength=NUM_TOKENS)
    assert int(times[~ALPHABET].sum()) == 0
    assert stats.chisquare(times[ALPHABET].numpy()).pvalue > 1e-6
    # Neighbours do not go together, nor does the token with the fate.
    pairs = stats.chi2_contingency(
        torch.stack([seen[:, :-1].flatten() % 4, seen[:, 1:].flatten() % 4])
        .T.unique(dim=0, return_counts=True)[1]
        .view(4, 4)
        .numpy()
    )
    assert pairs.pvalue > 1e-6


def test_what_becomes_of_a_position_depends_on_its_keys_only(
    ids: torch.Tensor, hidden: torch.Tensor
) -> None:
    more = {"mask": MASK, "alphabet": ALPHABET, "shares": (0.4, 0.4, 0.2)}
    seen = corrupt(ids, hidden, keys(), **more)
    assert torch.equal(seen, corrupt(ids, hidden, keys(), **more))
    for rows in ([7], [30, 4]):
        part = corrupt(ids[rows], hidden[rows], keys(sample_ids=torch.tensor(rows)), **more)
        assert torch.equal(part, seen[rows])
    # Nor on padding, nor on what else is hidden.
    wide = [torch.nn.functional.pad(part, (0, 3)) for part in (ids, hidden)]
    assert torch.equal(corrupt(*wide, keys(), **more)[:, :-3], seen)
    everything = corrupt(ids, torch.ones_like(hidden), keys(), **more)
    assert torch.equal(everything[hidden], seen[hidden])
    for other in (keys(seed=2), keys(epoch=1), keys(sample_ids=torch.arange(9, BATCH + 9))):
        assert (corrupt(ids, hidden, other, **more) != seen)[hidden].double().mean() > 0.3


@pytest.mark.parametrize(
    ("says", "shares"),
    [
        ("are not three numbers in [0, 1]", (1.2, -0.2, 0)),
        ("are not three numbers in [0, 1]", (0.5, 0.5)),
        ("are not three numbers in [0, 1]", (float("nan"), 0.5, 0.5)),
        ("sum to 0.9: make the sum 1", (0.8, 0.1, 0)),
    ],
)
def test_refused(ids: torch.Tensor, hidden: torch.Tensor, says: str, shares: tuple) -> None:
    with pytest.raises(UserError) as error:
        corrupt(ids, hidden, keys(), mask=MASK, alphabet=ALPHABET, shares=shares)
    assert says in str(error.value)
