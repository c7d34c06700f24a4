import torch
from scipy import stats

from maskwise.likelihood import PPCA, log_likelihood
from maskwise.likelihood.anomaly import score_samples


def test_scores_rank_samples_as_their_density_does():
    model = PPCA([[1.0], [0.5], [-1.0], [2.0], [0.3]], noise=0.3)
    x = model.sample(200) * torch.linspace(0.5, 3, 200, dtype=torch.float64)[:, None]
    found = score_samples(model, x)
    assert stats.spearmanr(found, model.log_prob(x)).statistic > 0.99


def test_all_samples_have_the_same_masks():
    model = PPCA([[1.0], [0.5], [-1.0], [2.0], [0.3]], noise=0.3)
    x = model.sample(6)
    found = score_samples(model, x, passes=9, seed=2)
    torch.testing.assert_close(score_samples(model, x.flip(0), passes=9, seed=2), found.flip(0))
    alone = log_likelihood(model, x[:1], passes=9, seed=2)
    torch.testing.assert_close(alone.per_sample, found[:1])
    eligible = torch.tensor([True, True, False, True, False])
    part = score_samples(model, x, passes=9, seed=2, eligible=eligible)
    assert not torch.isclose(part, found).any()
