"""Models of discrete positions whose conditionals are known: a table, and a latent variable."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from maskwise.checks import check
from maskwise.errors import UserError
from maskwise.likelihood.contract import (
    Values,
    hidden_of,
    in_pieces,
    own_uniforms,
    parameter,
    positive,
    refuse,
    rows,
    uniforms,
)
from maskwise.rng import Keys

_MOST_POINTS = 10**6
# One of two probabilities is exp(-600), far from what float64 cannot tell from 0.
_LARGEST_LOGIT = 600.0


class Tabular:
    """Any joint distribution of a few positions, as a table of its probabilities.

    Args:
        probabilities: [V_1, ..., V_D], at least 0, summing to 1 (within 1e-6; rounding is put
            right). A tensor is read at each call; gradients reach it.

    Raises:
        UserError: a probability below 0, or another sum.

    Example:
        >>> model = Tabular([[0.5, 0.25], [0.0, 0.25]])
        >>> model.conditional_log_prob([[1, 1]], [[True, False]]).exp()[0, 0].item()
        0.5
    """

    def __init__(self, probabilities: Values) -> None:
        self.probabilities = parameter(probabilities, "probabilities", "...")
        table = self.probabilities.detach().double()
        lowest, total = float(table.min()), float(table.sum())
        if lowest < 0:
            raise UserError(f"a probability is {lowest:g}: none may be below 0")
        if abs(total - 1) > 1e-6:
            raise UserError(f"the probabilities sum to {total:.7g}: divide them by their sum")

    def log_prob(self, x: Values) -> Tensor:
        """Return log p(x), [B] nats."""
        return self._table()[self._values(x).unbind(dim=1)].log()

    @torch.no_grad()
    def sample(self, num: int, seed: int = 0) -> Tensor:
        """Return `num` samples, int64 [num, D]; the first ones are the same for any `num`."""
        table = self._table()
        uniform = own_uniforms(num, 1, seed).flatten().to(table.device)
        cell = torch.searchsorted(table.flatten().cumsum(dim=0), uniform)
        return torch.stack(torch.unravel_index(cell, table.shape), dim=1)

    def conditional_log_prob(self, x: Values, hidden: Values) -> Tensor:
        """Return log p(x_t | x_R) for every hidden t, [B, D] nats.

        It is -inf where the visible values have probability 0 together, as log p(x) is.
        """
        x = self._values(x)
        table = self._table()

        def log_probs(x: Tensor, hidden: Tensor) -> Tensor:
            joint = _marginals(table, x, hidden)
            chosen = torch.cat([joint[t].gather(1, x[:, [t]]) for t in range(len(joint))], dim=1)
            evidence = joint[0].sum(dim=1, keepdim=True)
            return torch.where(evidence > 0, chosen.log() - evidence.log(), -torch.inf)

        return in_pieces(log_probs, table.numel(), x, hidden_of(hidden, x))

    @torch.no_grad()
    def conditional_sample(self, x: Values, hidden: Values, keys: Keys) -> Tensor:
        """Return `x`, int64, with each hidden position drawn given the visible, for itself.

        Raises:
            UserError: visible values that have probability 0 together.
        """
        hidden = hidden_of(hidden, rows(x, self.empty(1)[0]))
        x = self._values(x, hidden)
        table = self._table()

        def draw(x: Tensor, hidden: Tensor, uniform: Tensor) -> Tensor:
            drawn = []
            for t, joint in enumerate(_marginals(table, x, hidden)):
                if not joint.any(dim=1).all():
                    raise UserError(
                        "the visible values of a sample have probability 0 together: hide some"
                    )
                sums = joint.cumsum(dim=1)
                drawn.append((sums < uniform[:, [t]] * sums[:, -1:]).sum(dim=1))
            return torch.where(hidden, torch.stack(drawn, dim=1), x)

        return in_pieces(draw, table.numel(), x, hidden, uniforms(keys, x))

    def empty(self, num: int) -> Tensor:
        """Return `num` samples of zeros, int64 [num, D]."""
        return self.probabilities.new_zeros(num, self.probabilities.ndim, dtype=torch.int64)

    def _table(self) -> Tensor:
        table = self.probabilities.double()
        return table / table.sum()

    def _values(self, x: Values, hidden: Tensor | None = None) -> Tensor:
        sizes = list(self.probabilities.shape)
        return _indices(rows(x, self.empty(1)[0]), sizes, hidden)


def _marginals(table: Tensor, x: Tensor, hidden: Tensor) -> list[Tensor]:
    """Return p(x_t = v, x_R) for each position t, [B, V_t] each."""
    joint = table.expand(len(x), *table.shape)
    for t, size in enumerate(table.shape):
        agrees = hidden[:, [t]] | (x[:, [t]] == torch.arange(size, device=x.device))
        shape = [size if axis == t else 1 for axis in range(table.ndim)]
        joint = joint * agrees.view(-1, *shape)
    return [
        joint.movedim(t + 1, 1).reshape(len(x), size, -1).sum(dim=2)
        for t, size in enumerate(table.shape)
    ]


class BernoulliLatent:
    """Binary positions, independent given z ~ N(0, I_K): p(x_t = 1 | z) = σ(w_t'z + b_t).

    z takes the points of a regular grid, with weights proportional to the normal density that sum
    to 1. So this is a normalised model itself, whose conditionals are exact; with enough points
    it is that of a normal z. With points z_g of weight π_g, log p(x_t | x_R) is

        log Σ_g π_g p(x_R | z_g) p(x_t | z_g) - log Σ_g π_g p(x_R | z_g).

    Tensors are read at each call: they may be trained, and gradients reach them.

    Args:
        weights: W [D, K]; K is small: the grid has points^K points.
        bias: b [D].
        points: of the grid, on each axis.
        limit: the grid covers [-limit, limit].

    Raises:
        UserError: shapes that do not agree, more than a million points, or logits so large that
            probabilities are lost in rounding.

    Example:
        >>> model = BernoulliLatent([[1.0], [1.0]], bias=[0.0, 0.0])
        >>> round(model.conditional_log_prob([[1, 1]], [[True, True]]).exp()[0, 0].item(), 6)
        0.5
    """

    def __init__(
        self, weights: Values, bias: Values, points: int = 20, limit: float = 5.0
    ) -> None:
        check("points", points, (int,))
        check("limit", limit, (float,))
        self.weights = parameter(weights, "weights", "DK")
        self.bias = parameter(bias, "bias", "D").to(self.weights.device)
        num_positions, width = self.weights.shape
        if len(self.bias) != num_positions:
            raise UserError(f"bias has {len(self.bias)} positions, weights {num_positions}")
        if points < 2 or points**width > _MOST_POINTS:
            raise UserError(
                f"points {points} on each of {width} axes: give at least 2, and at most"
                f" {_MOST_POINTS:,} points in all"
            )
        axis = torch.linspace(-1, 1, points, dtype=torch.float64)
        axis = (positive(limit, "limit").cpu() * axis).to(self.bias.device)
        self.grid = torch.cartesian_prod(*[axis] * width).view(-1, width)
        self._log_weights = (-0.5 * self.grid.square().sum(dim=1)).log_softmax(dim=0)
        self._logits()

    def log_prob(self, x: Values) -> Tensor:
        """Return log p(x), [B] nats."""
        x = self._values(x)
        logits = self._logits()

        def evidence(x: Tensor) -> Tensor:
            return self._log_joint(logits, x, torch.ones_like(x)).logsumexp(dim=1, keepdim=True)

        return in_pieces(evidence, sum(logits.shape), x)[:, 0]

    @torch.no_grad()
    def sample(self, num: int, seed: int = 0) -> Tensor:
        """Return `num` samples, int64 [num, D]; the first ones are the same for any `num`."""
        uniform = own_uniforms(num, 1 + len(self.bias), seed).to(self.bias.device)
        shares = self._log_weights.exp().cumsum(dim=0)
        point = torch.searchsorted(shares, uniform[:, 0].contiguous())
        return (uniform[:, 1:] < self._logits().sigmoid()[point]).to(torch.int64)

    def conditional_log_prob(self, x: Values, hidden: Values) -> Tensor:
        """Return log p(x_t | x_R) for every hidden t, [B, D] nats."""
        x = self._values(x)
        logits = self._logits()
        # Both, as 1 - p would lose the digits of a small difference.
        ones, zeros = logits.sigmoid(), (-logits).sigmoid()

        def log_probs(x: Tensor, hidden: Tensor) -> Tensor:
            posterior = self._log_joint(logits, x, ~hidden).softmax(dim=1)
            return torch.where(x == 1, posterior @ ones, posterior @ zeros).log()

        return in_pieces(log_probs, sum(logits.shape), x, hidden_of(hidden, x))

    @torch.no_grad()
    def conditional_sample(self, x: Values, hidden: Values, keys: Keys) -> Tensor:
        """Return `x`, int64, with each hidden position drawn given the visible, for itself."""
        hidden = hidden_of(hidden, rows(x, self.bias))
        x = self._values(x, hidden)
        logits = self._logits()

        def draw(x: Tensor, hidden: Tensor, uniform: Tensor) -> Tensor:
            posterior = self._log_joint(logits, x, ~hidden).softmax(dim=1)
            return torch.where(hidden, (uniform < posterior @ logits.sigmoid()).to(x), x)

        return in_pieces(draw, sum(logits.shape), x, hidden, uniforms(keys, x))

    def empty(self, num: int) -> Tensor:
        """Return `num` samples of zeros, int64 [num, D]."""
        return self.bias.new_zeros(num, len(self.bias), dtype=torch.int64)

    def _values(self, x: Values, hidden: Tensor | None = None) -> Tensor:
        return _indices(rows(x, self.bias), [2] * len(self.bias), hidden)

    def _logits(self) -> Tensor:
        """Return the logit of each position at each point, [G, D]."""
        logits = self.grid @ self.weights.double().T + self.bias.double()
        largest = float(logits.detach().abs().max())
        if not largest < _LARGEST_LOGIT:
            raise UserError(
                f"a logit on the grid is {largest:.4g} in size, where rounding loses"
                f" probabilities: keep weights and bias small, below {_LARGEST_LOGIT:g} together"
            )
        return logits

    def _log_joint(self, logits: Tensor, x: Tensor, visible: Tensor) -> Tensor:
        """Return log π_g p(x_R | z_g) for each point, [B, G]."""
        ones, visible = (visible * x).to(logits), visible.to(logits)
        # log p(x_r | z) = x_r a + log σ(-a), summed over R by two products.
        return self._log_weights + ones @ logits.T + visible @ logsigmoid(-logits).T


def _indices(x: Tensor, sizes: list[int], hidden: Tensor | None) -> Tensor:
    """Return samples as int64, with 0 where they are hidden and may hold anything."""
    if hidden is not None:
        x = torch.where(hidden, 0.0, x)
    bad = (x != x.floor()) | (x < 0) | (x >= torch.tensor(sizes).to(x))
    several = f"one of 0..V-1 with V = {sizes}" if len(set(sizes)) > 1 else f"0..{sizes[0] - 1}"
    refuse(bad, x, f"positions hold {several}")
    return x.to(torch.int64)
