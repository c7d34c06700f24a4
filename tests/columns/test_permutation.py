"""Hidden values that are replaced by those of other samples."""

import torch
from torch import nn

from maskwise.columns.networks import ColumnNetwork, Output
from maskwise.masks import Mask
from maskwise.rng import Keys
from maskwise.train.loop import Learner, Prepared
from tests.columns.small_models import CASES, KEYS, NUM, each_case, hide, make


class Recorder(ColumnNetwork):
    """A network that keeps what it is shown and knows nothing."""

    num_layers = 1

    def __init__(self, num_parameters):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.num_parameters = num_parameters

    def said(self, shown, layers):
        self.shown = shown
        zeros = torch.zeros(*shown.values.shape, self.num_parameters)
        return Output(zeros, torch.zeros_like(shown.categories)), shown.values, []

    def features(self, shown, layer):
        self.shown = shown
        return shown.values


def shown_of(case, hidden=None, keys=KEYS, corruption="permute"):
    """Return what a network is shown, as values and codes; NaN where blank."""
    modality, samples = CASES[case]
    model = make(modality, Recorder(2), corruption=corruption)
    hidden = torch.ones(NUM, model.length, dtype=torch.bool) if hidden is None else hidden
    model.network(model._read(samples, hidden, keys))
    shown = model.network.shown
    values, start = shown.values.clone(), 0
    for feature, size in enumerate(modality.sizes):
        if size:
            one_hot = shown.categories[:, start : start + size]
            assert torch.equal(one_hot.sum(1) == 0, shown.blank[:, feature])
            values[:, feature] = one_hot.argmax(1)
            start += size
    assert (shown.values[shown.blank] == 0).all()
    return values.masked_fill(shown.blank, torch.nan)


def normalised(case):
    """What a network would be shown of whole samples."""
    nothing = torch.zeros(NUM, len(CASES[case][0].sizes), dtype=torch.bool)
    return shown_of(case, nothing)


@each_case()
def test_hidden_values_are_permuted_within_their_feature(case):
    found, whole = shown_of(case), normalised(case)
    known = ~whole.isnan()
    for column, own in zip(found.T, whole.T, strict=True):
        there = ~column.isnan()
        # Each value of the batch goes to one sample, those that are not measured to some.
        assert torch.equal(column[there].sort().values, own[~own.isnan()].sort().values)
    moved = known & ~found.isnan() & (found != whole)
    assert moved.any(dim=0).all()
    assert torch.equal(shown_of(case).nan_to_num(-1), found.nan_to_num(-1))
    other = shown_of(case, keys=Keys(0, 1, KEYS.sample_ids))
    assert not torch.equal(other.nan_to_num(-1), found.nan_to_num(-1))
    # Features are permuted for themselves.
    if case == "numbers":
        places = (found[:, None] == whole[None]).float().argmax(1)
        assert len({tuple(column.tolist()) for column in places.T}) == 5


@each_case("numbers", "mixed with holes", "expression")
def test_visible_values_stay_where_they_are(case):
    modality, samples = CASES[case]
    hidden = hide(samples, len(modality.sizes))
    found, whole = shown_of(case, hidden), normalised(case)
    assert torch.equal(found[~hidden].nan_to_num(-9), whole[~hidden].nan_to_num(-9))
    # What a sample shows in place of a hidden value is what all hidden ones would be permuted to.
    assert torch.equal(found[hidden].nan_to_num(-9), shown_of(case)[hidden].nan_to_num(-9))


def test_only_training_permutes():
    modality, samples = CASES["numbers"]
    hidden = hide(samples, 5)
    model = make(modality, Recorder(1), corruption="permute")
    for call in (
        lambda: model.predict(samples, hidden),
        lambda: model.losses(samples, hidden),
        lambda: model.conditional_log_prob(samples, hidden),
        lambda: model.conditional_sample(samples, hidden, KEYS),
    ):
        call()
        shown = model.network.shown
        assert torch.equal(shown.blank, hidden)
        assert torch.equal(shown.values, samples.masked_fill(hidden, 0))
    for corruption in ("indicator", "zero"):
        other = shown_of("numbers", hidden, corruption=corruption)
        assert torch.equal(other.isnan(), hidden)
    mask = Mask(hidden)
    Learner(model).losses(Prepared(samples, mask, mask, KEYS))[0]
    assert not model.network.shown.blank.any()
