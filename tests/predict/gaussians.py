"""Normal distributions whose every conditional is known, as closed forms and as masked models."""

import numpy as np
import torch

from maskwise.columns.asking import ClosedAsking
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.gaussian import Gaussian
from maskwise.modality import Incomplete, MaskedModel
from maskwise.predict.asked import ModelAsked
from maskwise.predict.asking import Held, ModelAsking
from maskwise.predict.conformal import Calibration
from maskwise.predict.heads import ClassHead, Linear, NumberHead
from maskwise.predict.voices import Voices


def covariance_of(num, seed=0):
    root = np.random.default_rng(seed).normal(size=(num, num + 2))
    found = root @ root.T / num
    scale = np.sqrt(np.diag(found))
    return found / np.outer(scale, scale)


def closed_of(covariance):
    num = len(covariance)
    gaussian = Gaussian(np.zeros(num), covariance)
    return ClosedForm((0,) * num, np.zeros(num), np.ones(num), {}, gaussian)


def given(covariance, hidden, of):
    """Return the covariance of `of` given all that is not hidden, by its definition."""
    kept = np.flatnonzero(~hidden)
    cross = covariance[np.ix_(of, kept)]
    inner = np.linalg.inv(covariance[np.ix_(kept, kept)])
    return covariance[np.ix_(of, of)] - cross @ inner @ cross.T


def linear(weights):
    weights = np.asarray(weights, dtype=float)
    num, classes = weights.shape
    return Linear(np.zeros(num), np.ones(num), weights, np.zeros(classes), np.zeros(classes))


def class_head(weights):
    calibration = Calibration.learn(np.arange(60) / 60, np.ones(60))
    voices = Voices(np.array([0.0, 1.0]), np.ones((2, 1)))
    return ClassHead(linear(weights), voices, calibration)


def number_head(weights, variance=1.0):
    weights = np.asarray(weights, dtype=float)[:, None]
    return NumberHead(linear(weights), Calibration.learn(np.full(60, variance**0.5), np.ones(60)))


class Tokenizer:
    modality = "none"

    def __init__(self, num):
        self.grid = (num,)

    def eligible(self, batch, keys=None):
        return ~batch.isnan()

    def weights(self, batch):
        return None

    def save(self, folder):
        return {}


class Normal(MaskedModel):
    """What `ClosedForm` says, as a masked model; its features are those of `ClosedAsking`."""

    num_layers, has_class_token, trunk = 1, False, None

    def __init__(self, covariance):
        super().__init__()
        self.tokenizer, self.length = Tokenizer(len(covariance)), len(covariance)
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.closed = closed_of(covariance)

    def answer(self, *arguments):
        raise NotImplementedError

    objective = encode = num_encoded = answer

    def _moments(self, x, hidden):
        shown = np.where(hidden.numpy(), np.nan, x.numpy())
        mean, variance = self.closed.gaussian.conditional(shown)
        return torch.from_numpy(mean), torch.from_numpy(variance).clamp(min=1e-12)

    def visible_features(self, samples, mask, pool="mean", layer=-1):
        return self._moments(samples, mask.hidden)[0]

    def conditional_log_prob(self, x, hidden):
        mean, variance = self._moments(x, hidden)
        return torch.distributions.Normal(mean, variance.sqrt()).log_prob(x)

    def conditional_sample(self, x, hidden, keys):
        from maskwise.rng import Stream

        mean, variance = self._moments(x, hidden)
        u = keys.open_uniform(Stream.SAMPLE, self.length).double()
        return torch.where(hidden, mean + variance.sqrt() * torch.special.ndtri(u), x)

    def empty(self, num):
        return torch.zeros(num, self.length, dtype=torch.float64)


def both(covariance, x):
    """Return samples in closed form, and through the same distribution as a masked model."""
    model = Normal(covariance).eval()
    data = Incomplete(Held(torch.from_numpy(np.asarray(x, dtype=float))))
    return ClosedAsking(closed_of(covariance), np.asarray(x)), ModelAsking(ModelAsked(model, data))
