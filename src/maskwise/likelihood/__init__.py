"""Masked prediction as marginal likelihood: score curves, estimators, exact models.

The masked score, summed over all numbers of hidden positions, is the log-likelihood of a model
(arXiv 2306.00520). Everything here but the exact models needs one method of a model:
``conditional_log_prob(x, hidden)``.
"""

from maskwise.likelihood.contract import ConditionalModel, GenerativeModel, check_leak, loss
from maskwise.likelihood.designs import chain_rule, order_mixture_bound, order_spread
from maskwise.likelihood.discrete import BernoulliLatent, Tabular
from maskwise.likelihood.estimators import Estimate, Method, log_likelihood, score_samples
from maskwise.likelihood.generate import (
    Imputation,
    best_blocks,
    block_bound,
    fill,
    impute,
    sample,
)
from maskwise.likelihood.normal import PPCA, Gaussian, conjugate_mean
from maskwise.likelihood.scores import (
    RatioSupportWarning,
    ScoreCurve,
    crossing_ratio,
    fixed_ratio_bias,
    outside_support,
    partial,
    score_at_size,
    score_curve,
)

__all__ = [
    "PPCA",
    "BernoulliLatent",
    "ConditionalModel",
    "Estimate",
    "Gaussian",
    "GenerativeModel",
    "Imputation",
    "Method",
    "RatioSupportWarning",
    "ScoreCurve",
    "Tabular",
    "best_blocks",
    "block_bound",
    "chain_rule",
    "check_leak",
    "conjugate_mean",
    "crossing_ratio",
    "fill",
    "fixed_ratio_bias",
    "impute",
    "log_likelihood",
    "loss",
    "order_mixture_bound",
    "order_spread",
    "outside_support",
    "partial",
    "sample",
    "score_at_size",
    "score_curve",
    "score_samples",
]
