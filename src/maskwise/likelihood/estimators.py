"""The log-likelihood of samples, estimated from masked predictions with a standard error."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Unpack

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.likelihood.contract import (
    ConditionalModel,
    Job,
    Options,
    Values,
    check_leak,
    job_of,
    refuse_training,
    samples,
)
from maskwise.likelihood.designs import (
    DESIGNS,
    chain_rule,
    masks_of,
    random_orders,
    spell_out,
)
from maskwise.likelihood.scores import all_masks, evaluate, warn_outside
from maskwise.progress import track

Method = Literal["systematic", "exhaustive", "per_size", "bernoulli", "chain_rule", "quadrature"]
Units = Literal["nats", "bits_per_dim", "perplexity"]

# With D positions there are 2^D - 1 masks.
MOST_EXHAUSTIVE = 20
# Log-probabilities held at once: samples x passes x positions.
MOST_VALUES = 2**24


@dataclass(frozen=True, eq=False)
class Estimate:
    """A log-likelihood in nats: the sum over samples, and each sample's own.

    `stderr` and `per_sample_stderr` are the errors of having drawn some masks and not all, for
    these very samples; NaN where the method cannot tell.
    """

    value: float
    stderr: float
    per_sample: Tensor
    """float64 [B]"""
    passes: int
    """masked inputs evaluated for a sample"""
    per_sample_stderr: Tensor
    """float64 [B]"""
    num_dims: int
    """values whose density this is, over all samples: eligible positions x values in each"""
    dof: float
    """degrees of freedom of `stderr` (Welch-Satterthwaite)"""

    @property
    def bits_per_dim(self) -> float:
        """-log2 of the likelihood, per value."""
        return convert(self.value, self.num_dims, "bits_per_dim")

    @property
    def perplexity(self) -> float:
        """exp(-log-likelihood per value)."""
        return convert(self.value, self.num_dims, "perplexity")

    def interval(self, level: float = 0.95, units: Units = "nats") -> tuple[float, float]:
        """Return a confidence interval of the sum, by Student's t, of coverage `level`.

        >>> found = Estimate(-100.0, 2.0, torch.tensor([-100.0]), 64, torch.tensor([2.0]), 10, 1e9)
        >>> [round(end, 2) for end in found.interval()]
        [-103.92, -96.08]
        >>> [round(end, 2) for end in found.interval(units="bits_per_dim")]
        [13.86, 14.99]
        """
        if not 0 < level < 1:
            raise UserError(f"level {level:g} is outside (0, 1): 0.95 is usual")
        wide = self.stderr and float(stats.t.ppf((1 + level) / 2, self.dof)) * self.stderr
        low, high = (convert(self.value + end, self.num_dims, units) for end in (-wide, wide))
        return min(low, high), max(low, high)


def convert(nats: float, num_dims: float, units: str) -> float:
    """Return a log-likelihood in other units, per value but for nats.

    >>> round(convert(-8 * math.log(2), 8, "bits_per_dim"), 6)
    1.0
    """
    if units == "nats":
        return nats
    if units == "bits_per_dim":
        return -nats / num_dims / math.log(2)
    if units == "perplexity":
        return math.exp(-nats / num_dims)
    raise UserError(f"unknown units '{units}'; units are nats, bits_per_dim, perplexity")


class _Found(NamedTuple):
    """Of each sample, [B]: value, variance, sum(variance_h^2 / dof_h) over strata, passes used."""

    value: Tensor
    variance: Tensor
    spread: Tensor
    passes: Tensor


@checked(batch_size=1)
def log_likelihood(
    model: ConditionalModel,
    x: Values,
    method: Method = "systematic",
    passes: int | None = None,
    seed: int = 0,
    *,
    eligible: Values | None = None,
    sample_ids: Values | None = None,
    law: Law | str | None = None,
    batch_size: int = 1024,
) -> Estimate:
    """Estimate log p(x) from one-position conditionals under random masks.

        log p(x) = sum_{M=1}^{D} S(x; M),  S(x; M) = E_{|m|=M} mean_{t in m} log p(x_t | x_R)

    Exact for a model whose conditionals are those of one joint distribution. For a network the sum
    is E_sigma log p_sigma(x), the mean over orders of its chain rules: a lower bound on the
    log-likelihood of their mixture.

    Methods, all unbiased but the last:

    - "systematic": sizes in narrow strata, two passes in each, token effects removed (see below);
    - "exhaustive": all 2^D - 1 masks, no error;
    - "per_size": equally many masks at each size (the paper's scheme);
    - "bernoulli": each position hidden with probability t, t uniform (masked diffusion), with
      weight E[1/t | M] = (D + 1) / M;
    - "chain_rule": D passes along each random order; no error where conditionals are compatible;
    - "quadrature": the trapezoid rule over few sizes; biased.

    With "systematic", passes form two independent halves, and each half tells how much easier or
    harder a position is than others; from a pass of the other half, the mean effect of its hidden
    positions is taken off. Its expectation is zero: nothing changes but the variance.

    Args:
        model: has `conditional_log_prob`.
        x: samples [B, D, ...].
        method: see above.
        passes: masked inputs for each sample; default: 64, or two masks per size, or two orders.
        seed: of masks and orders; each depends on (seed, pass, sample id) alone.
        eligible: bool [D] or [B, D]; positions that are not are always visible: the result is
            log p(x_eligible | x_others). Padding must be among them. Default: what the model says,
            or all.
        sample_ids: int64 [B], which samples; default: 0..B-1.
        law: the law that the model was trained with; warns of sizes that it never hid.
        batch_size: masked inputs in one call of the model.

    Raises:
        UserError: bad sizes or shapes, NaN log-probabilities, a model that leaks or that is in
            training mode.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=[[1.0], [0.5], [-1.0], [2.0]], noise=0.5)
        >>> x = model.sample(3)
        >>> found = log_likelihood(model, x, "exhaustive")
        >>> torch.allclose(found.per_sample, model.log_prob(x))
        True

    Source: arXiv 2306.00520. Masked diffusion and any-order autoregression estimate the same sum.
    """
    job = job_of(
        model, x, eligible=eligible, seed=seed, batch_size=batch_size, sample_ids=sample_ids
    )
    longest = int(job.lengths.max())
    if method not in METHODS:
        raise UserError(f"unknown method '{method}'; methods are {', '.join(METHODS)}")
    if passes is None:
        passes = 2 * longest if method in ("per_size", "chain_rule") else 64
    if passes < 1:
        raise UserError(f"passes {passes} must be at least 1")
    refuse_training(model)
    warn_outside(law, np.arange(1, longest + 1) / longest, longest)
    num = max(1, MOST_VALUES // (passes * job.eligible.shape[1]))
    with torch.no_grad():
        check_leak(model, job.x, eligible=job.eligible, seed=seed)
        found = [
            METHODS[method](job.rows(slice(start, start + num)), method, passes)
            for start in range(0, len(job.x), num)
        ]
    value, variance, spread, used = (torch.cat(each) for each in zip(*found, strict=True))
    total, spreads = float(variance.sum()), float(spread.sum())
    return Estimate(
        value=float(value.sum()),
        stderr=math.sqrt(total),
        per_sample=value,
        passes=int(used.max()),
        per_sample_stderr=variance.sqrt(),
        num_dims=int(job.lengths.sum()) * int(getattr(model, "values_per_position", 1)),
        dof=total**2 / spreads if spreads > 0 else math.inf,
    )


@checked()
def score_samples(
    model: ConditionalModel, x: Values, *, passes: int = 64, **options: Unpack[Options]
) -> Tensor:
    """Return each sample's log-likelihood, float64 [B], in nats: low scores are anomalies.

    `log_likelihood` with the same masks for all samples, so that no sample looks odd because its
    masks were hard; a score does not depend on the batch. Arguments are those of `log_likelihood`.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(4, 1), noise=0.1)
        >>> usual, odd = score_samples(model, [[1.0, 1.2, 0.9, 1.0], [1.0, -1.0, 1.0, 1.0]])
        >>> bool(odd < usual)
        True
    """
    x = samples(x)
    same = torch.zeros(len(x), dtype=torch.int64)
    return log_likelihood(model, x, passes=passes, sample_ids=same, **options).per_sample


def _designed(job: Job, method: str, passes: int) -> _Found:
    """Draw masks as a design says; combine the means of its strata.

    Variances of strata are unbiased where they have two passes.
    """
    plan = spell_out(job.lengths, lambda length: DESIGNS[method](length, passes))
    drawn = list(masks_of(plan, job.eligible, job.seed, job.ids))
    sizes, hidden = (torch.stack(each, dim=1) for each in zip(*drawn, strict=True))
    num_calls = -(-sizes.numel() // job.batch_size)
    parts = track(evaluate(job, hidden), "likelihood", num_calls)
    found = torch.cat(list(parts)).view(hidden.shape)
    scores = found.sum(dim=2) / sizes.clamp(min=1)
    if method == "systematic":
        scores = scores - _token_effects(found, scores, hidden, job.eligible)

    def by_stratum(values: Tensor) -> Tensor:
        return torch.zeros_like(plan.weight).scatter_add(1, plan.stratum, values)

    num = plan.num.clamp(min=1)
    mean = by_stratum(scores) / num
    squares = by_stratum((scores - mean.gather(1, plan.stratum)).square())
    variance = plan.weight.square() * squares / (num - 1) / num
    # There is one mask that hides everything: no error, in one pass or several.
    known = (plan.low == job.lengths[:, None]) | (plan.weight == 0)
    variance = torch.where(known, 0.0, variance)
    spread = torch.where(known, 0.0, variance.square() / (num - 1))
    return _Found(
        (plan.weight * mean).sum(dim=1),
        variance.sum(dim=1),
        spread.nan_to_num().sum(dim=1),
        plan.num.sum(dim=1),
    )


def _token_effects(found: Tensor, scores: Tensor, hidden: Tensor, eligible: Tensor) -> Tensor:
    """Return the mean effect of the hidden positions of each pass, [B, passes].

    A position's effect is what it adds to the score of its pass, on average over one half of the
    passes; it is used for passes of the other half. Effects sum to zero over eligible positions,
    and so have mean zero under uniform masks.
    """
    above = torch.where(hidden, found - scores[..., None], 0.0)
    half = torch.arange(hidden.shape[1], device=hidden.device) % 2 == 0
    result = torch.zeros_like(scores)
    for from_, to in ((half, ~half), (~half, half)):
        # One more pass in the denominator pulls rarely seen positions toward no effect.
        effect = above[:, from_].sum(dim=1) / (hidden[:, from_].sum(dim=1) + 1)
        mean = (effect * eligible).sum(dim=1) / eligible.sum(dim=1)
        effect = effect - mean[:, None]
        taken = hidden[:, to]
        sums = torch.where(taken, effect[:, None], 0.0).sum(dim=2)
        result[:, to] = sums / taken.sum(dim=2).clamp(min=1)
    # A sample of probability zero has no finite effects, and needs none.
    return result.nan_to_num(nan=0.0)


def _exhaustive(job: Job, method: str, passes: int) -> _Found:
    """Take every mask there is."""
    lengths = job.lengths
    values = torch.zeros(len(lengths), dtype=torch.float64, device=lengths.device)
    if (longest := int(lengths.max())) > MOST_EXHAUSTIVE:
        raise UserError(
            f"there are 2^{longest} masks of {longest} positions, more than exhaustive"
            f" can take (2^{MOST_EXHAUSTIVE}): use method 'systematic'"
        )
    for size in range(1, longest + 1):
        rows = (lengths >= size).nonzero().flatten()
        values[rows] += all_masks(job.rows(rows), size)
    none = torch.zeros_like(values)
    return _Found(values, none, none, 2**lengths - 1)


def _chain_rule(job: Job, method: str, passes: int) -> _Found:
    """Average the chain rule over random orders."""
    longest = int(job.lengths.max())
    if passes < longest:
        raise UserError(
            f"chain_rule needs a pass for each of {longest} positions, not {passes}: give more"
            " passes, or method 'systematic'"
        )
    num, width = passes // longest, job.eligible.shape[1]
    found = []
    for draw in range(num):
        order = random_orders(job.ids, width, seed=job.seed, draw=draw)
        found.append(chain_rule(job.model, job.x, order, job.eligible, batch_size=job.batch_size))
    each = torch.stack(found)
    nan = torch.full_like(each[0], math.nan)  # one order does not tell
    variance = each.var(dim=0) / num if num > 1 else nan
    spread = variance.square() / max(num - 1, 1)
    return _Found(each.mean(dim=0), variance, spread.nan_to_num(), num * job.lengths)


METHODS = {
    **dict.fromkeys(DESIGNS, _designed),
    "exhaustive": _exhaustive,
    "chain_rule": _chain_rule,
}
