import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwise.cells.cells import Cells
from maskwise.columns.tabular import TabularRows
from maskwise.errors import UserError
from maskwise.images.images import ImageSplits
from maskwise.masks import Mask
from maskwise.measure import representation
from maskwise.measure.representation import DiagnoseSettings, diagnose
from maskwise.patches.arrays import embed
from tests.columns.small_samples import cells_of, make_model, rows_of, table_of

RUN = {"law": "uniform:0.2,0.8", "pattern": "scattered"}
SMALL = DiagnoseSettings(num_views=3, ratios=(0.25, 0.75))


class Fake(nn.Module):
    """A model whose features are the values of samples, turned by an angle in masked ones."""

    def __init__(self, turn: float = 0.0) -> None:
        super().__init__()
        self.turn, self.nothing = turn, nn.Parameter(torch.zeros(1))
        self.tokenizer = table_of((0,) * 8)
        self.masks: list[Tensor] = []

    def encode(self, batch: Tensor, pool: str, layer: int) -> Tensor:
        assert (pool, layer) == ("mean", -1)
        return batch

    def visible_features(self, batch: Tensor, mask: Mask, pool: str, layer: int) -> Tensor:
        self.masks.append(mask.hidden)
        angle = self.turn * mask.ratio[:, None]
        first, second = batch[:, ::2], batch[:, 1::2]
        turned = [
            angle.cos() * first - angle.sin() * second,
            angle.sin() * first + angle.cos() * second,
        ]
        # Of nothing there are no features.
        return torch.stack(turned, dim=2).flatten(1) * ~mask.hidden.all(dim=1)[:, None]


def hypercube(rank: int) -> TabularRows:
    """All corners of a cube of some dimensions, in 8: centred, of equal variance along each."""
    corners = np.array(np.meshgrid(*[(-1.0, 1.0)] * rank)).reshape(rank, -1).T
    return rows_of(torch.from_numpy(np.pad(corners, ((0, 0), (0, 8 - rank)))).float())


@pytest.mark.parametrize("rank", [5, 8])
def test_known_ranks(rank: int) -> None:
    found = diagnose(Fake(), hypercube(rank), SMALL, **RUN)
    encoder = found["encoder"]
    for name in ("effective_rank", "participation_ratio", "stable_rank"):
        assert encoder[name] == pytest.approx(rank)
    np.testing.assert_allclose(encoder["spectrum"], [1.0] * rank + [0.0] * (8 - rank))
    # Masks change nothing, so that all that tells samples apart counts the same.
    assert encoder["lidar"] == pytest.approx(rank)
    assert encoder["alignment"] == pytest.approx(0, abs=1e-10)
    for point in found["drift"]:
        assert point["cosine"] == pytest.approx(1)
        assert point["cka"] == pytest.approx(1)
        assert point["effective_rank"] == pytest.approx(rank)
    assert (found["num_samples"], found["dim"]) == (2**rank, 8)


def test_known_drift() -> None:
    found = diagnose(Fake(turn=np.pi / 2), hypercube(8), SMALL, **RUN)
    assert [point["ratio"] for point in found["drift"]] == [0.25, 0.75]
    for point in found["drift"]:
        assert point["realised"] == point["ratio"]
        assert point["cosine"] == pytest.approx(np.cos(np.pi / 2 * point["ratio"]))
        assert point["cka"] == pytest.approx(1)  # turning all alike keeps their distances
    # Views of two ratios are apart by an angle a: |z - z'|² = 2 - 2 cos a.
    fake = Fake(turn=np.pi / 2)
    found = diagnose(fake, hypercube(8), DiagnoseSettings(num_views=2, ratios=()), **RUN)
    angles = [np.pi / 2 * hidden.double().mean(1) for hidden in fake.masks]
    want = (2 - 2 * (angles[0] - angles[1]).cos()).mean()
    assert found["encoder"]["alignment"] == pytest.approx(float(want), rel=1e-5)
    assert found["drift"] == []


def test_views_are_drawn_from_the_law() -> None:
    fake = Fake()
    diagnose(fake, hypercube(8), DiagnoseSettings(num_views=4, ratios=()), **RUN)
    first, *_ = ratios = [hidden.double().mean(1) for hidden in fake.masks]
    assert len(ratios) == 4
    for each in ratios:
        assert set((8 * each).tolist()) == {2, 3, 4, 5, 6}  # round(8 r), r from 0.2 to 0.8
        assert float(each.mean()) == pytest.approx(0.5, abs=0.05)
    assert not any(torch.equal(first, other) for other in ratios[1:])
    fake = Fake()
    diagnose(
        fake,
        hypercube(8),
        DiagnoseSettings(num_views=2, ratios=()),
        law="0.5",
        pattern="scattered",
    )
    assert all((hidden.sum(1) == 4).all() for hidden in fake.masks)
    assert not torch.equal(*fake.masks)
    # As the law is when training ends.
    fake = Fake()
    law = "scheduled:linear,0.9..0.5"
    diagnose(
        fake, hypercube(8), DiagnoseSettings(num_views=2, ratios=()), law=law, pattern="scattered"
    )
    assert all((hidden.sum(1) == 4).all() for hidden in fake.masks)


def test_nothing_depends_on_batches_or_global_state(monkeypatch: pytest.MonkeyPatch) -> None:
    model, source = make_model(table_of((0,) * 9)).train(), numbers(70)
    whole = diagnose(model, source, SMALL, **RUN)
    assert model.training
    monkeypatch.setattr(representation, "in_batches", lambda index: np.array_split(index, 7))
    assert near(diagnose(model, source, SMALL, **RUN), whole)
    other = diagnose(model, source, DiagnoseSettings(num_views=3, ratios=(0.25,), seed=1), **RUN)
    assert other["encoder"]["lidar"] != pytest.approx(whole["encoder"]["lidar"], rel=1e-6)


def near(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == (other if isinstance(one, str) else pytest.approx(other, rel=1e-4, abs=1e-6))


def numbers(num: int, width: int = 9) -> TabularRows:
    return rows_of(torch.from_numpy(np.random.default_rng(0).normal(size=(num, width))).float())


def check(found: dict, num: int, width: int, ratios: tuple[float, ...] = SMALL.ratios) -> None:
    """Every figure is there, and is what it may be."""
    json.dumps(found, allow_nan=False)
    assert found["notes"] == []
    assert (found["num_samples"], found["dim"], found["num_views"]) == (num, width, 3)
    for name in ("encoder", "untrained encoder"):
        if name in found:
            each = found[name]
            assert len(each["spectrum"]) == width
            for rank in ("effective_rank", "rankme", "participation_ratio", "lidar"):
                assert 1 <= each[rank] <= width
            assert 0 < each["alignment"] < 4
            assert 0 <= each["energy"] <= 1
    assert [point["ratio"] for point in found["drift"]] == list(ratios)
    for point in found["drift"]:
        assert 0 < point["realised"] < 1
        assert -1 <= point["cosine"] <= 1
        assert 0 <= point["cka"] <= 1 + 1e-6
        assert 1 <= point["effective_rank"] <= width


@pytest.mark.parametrize("pattern", ["scattered", "shared", "block", "units:2"])
@pytest.mark.parametrize("changes", [{}, {"mode": "replace", "class_token": False}])
def test_images(make_model: Callable, splits: ImageSplits, pattern: str, changes: dict) -> None:
    model = make_model(width=12, **changes)
    found = diagnose(model, splits.train, SMALL, law="uniform:0.4,0.9", pattern=pattern)
    check(found, 60, 12)
    assert "untrained encoder" not in found


def test_the_class_token_a_layer_and_an_untrained_model(
    make_model: Callable, splits: ImageSplits
) -> None:
    model, other = make_model(width=12), make_model(width=12, positions="learned")
    config = DiagnoseSettings(pool="class", layer=0, num_samples=50, num_views=3, ratios=())
    found = diagnose(model, splits.train, config, untrained=other, **RUN)
    check(found, 50, 12, ratios=())
    assert (found["pool"], found["layer"]) == ("class", 0)
    assert found["encoder"]["lidar"] != found["untrained encoder"]["lidar"]
    index = np.sort(np.random.default_rng(0).choice(60, 50, replace=False))
    z = embed(model, splits.train.take(index), "class", 0)
    values = np.linalg.svd(z - z.mean(0), compute_uv=False)
    want = values / values[0]
    np.testing.assert_allclose(found["encoder"]["spectrum"], want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("pattern", ["scattered", "words", "spans:2", "ngrams"])
def test_texts(make_language_model: Callable, rows: Callable, pattern: str) -> None:
    model = make_language_model()
    check(diagnose(model, rows(70), SMALL, law="uniform:0.1,0.5", pattern=pattern), 70, 16)


@pytest.mark.parametrize(
    ("tokens", "pattern", "changes"),
    [
        ("bases", "units:3", {}),
        ("bases", "spans:3", {"equivariant": True}),
        ("kmers:2", "scattered", {"kind": "transformer", "heads": 2}),
        ("overlapping:3", "spans:4", {}),
    ],
)
def test_dna(make_dna_model: Callable, tokens: str, pattern: str, changes: dict) -> None:
    model = make_dna_model(tokens=tokens, window=24, **changes)
    codes = np.random.default_rng(0).integers(0, 4, (129, 24)).astype(np.uint8)
    codes[0] = 4  # nothing known: no token to hide
    codes[1, :9] = 4
    found = diagnose(
        model, rows_of(torch.from_numpy(codes)), SMALL, law="uniform:0.05,0.5", pattern=pattern
    )
    check(found, 128, 32 if changes.get("equivariant") else 16)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_tables(kind: str) -> None:
    samples = numbers(66, width=6).get(np.arange(66))
    samples[:, 4:] = (samples[:, 4:] > 0).float()
    samples[::3, 1] = torch.nan
    samples[0], samples[1, 1:] = torch.nan, torch.nan  # none and one measured: no masked view
    model = make_model(table_of((0, 0, 0, 0, 2, 3)), kind=kind, code=16)
    check(diagnose(model, rows_of(samples), SMALL, **RUN), 64, 16)


def test_cells_of_batches() -> None:
    cells, counts, _ = cells_of(40, 12)
    several = Cells(
        cells.genes, "nb", profile=cells.profile, target_sum=cells.target_sum, batches=("a", "b")
    )
    samples = torch.cat([counts, (torch.arange(40) % 3 - 1.0)[:, None]], dim=1)
    check(diagnose(make_model(several, code=10), rows_of(samples), SMALL, **RUN), 40, 10)


def test_masks_that_hide_everything_are_left_out() -> None:
    fake = Fake()
    law = "likelihood"
    found = diagnose(fake, hypercube(6), DiagnoseSettings(ratios=()), law=law, pattern="scattered")
    assert any(hidden.all(1).any() for hidden in fake.masks)
    assert found["encoder"]["alignment"] == pytest.approx(0, abs=1e-10)
    assert found["notes"] == ["alpha-ReQ fits 10 eigenvalues or more: these features have 8"]


def test_too_few_samples_leave_notes(make_model: Callable, splits: ImageSplits) -> None:
    config = DiagnoseSettings(num_samples=10, num_views=2, ratios=(0.5,))
    found = diagnose(make_model(), splits.test, config, untrained=make_model(), **RUN)
    json.dumps(found, allow_nan=False)
    assert (found["num_samples"], found["dim"]) == (10, 16)
    assert "effective_rank" not in found["encoder"]
    assert found["drift"][0]["ratio"] == 0.5
    assert any("10" in note and "16" in note for note in found["notes"])
    assert len(set(found["notes"])) == len(found["notes"])


def test_features_that_are_zero_leave_notes() -> None:
    zeros = rows_of(torch.zeros(40, 8))
    found = diagnose(Fake(), zeros, SMALL, **RUN)
    json.dumps(found, allow_nan=False)
    assert found["notes"]
    assert "effective_rank" not in found["encoder"]
    empty = diagnose(Fake(), rows_of(torch.full((9, 8), torch.nan)), SMALL, **RUN)
    assert "encoder" not in empty
    assert empty["notes"] == ["no held-out sample has two positions that may be hidden"]


def test_notes_say_whose_features_are_meant() -> None:
    class Collapsed(Fake):
        def encode(self, batch: Tensor, pool: str, layer: int) -> Tensor:
            return torch.ones_like(batch)

    found = diagnose(Fake(), hypercube(8), SMALL, untrained=Collapsed(), **RUN)
    assert found["notes"][1:] == [
        "untrained encoder: the features are the same for every sample (complete collapse):"
        " their spectrum says nothing"
    ]
    assert found["untrained encoder"].keys() == {"lidar", "alignment"}


def test_what_the_model_lacks(make_model: Callable, splits: ImageSplits) -> None:
    with pytest.raises(UserError, match=r"layer 9 is outside 0\.\.1"):
        diagnose(make_model(), splits.test, DiagnoseSettings(layer=9), **RUN)
    with pytest.raises(UserError, match="pool 'class' needs a class token"):
        diagnose(make_model(class_token=False), splits.test, DiagnoseSettings(pool="class"), **RUN)
    with pytest.raises(UserError, match="num_views=1"):
        DiagnoseSettings(num_views=1)
    with pytest.raises(UserError, match="num_samples=0"):
        DiagnoseSettings(num_samples=0)
