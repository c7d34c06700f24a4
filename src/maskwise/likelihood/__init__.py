"""Masked prediction as marginal likelihood: score curves, estimators, exact models.

The masked score, summed over all numbers of hidden positions, is the log-likelihood of a model
(arXiv 2306.00520). Everything here but the exact models needs one method of a model:
``conditional_log_prob(x, hidden)``.
"""

from maskwise.likelihood.contract import ConditionalModel, GenerativeModel, check_leak
from maskwise.likelihood.estimates import Estimate
from maskwise.likelihood.estimators import Method, log_likelihood
from maskwise.likelihood.gaussian import PPCA, Gaussian, conjugate_mean
from maskwise.likelihood.losses import loss
from maskwise.likelihood.orders import chain_rule, order_mixture_bound, order_spread
from maskwise.likelihood.scores import (
    ScoreCurve,
    crossing_ratio,
    fixed_ratio_bias,
    partial,
    score_at_size,
    score_curve,
)
from maskwise.likelihood.support import RatioSupportWarning, outside_support

__all__ = [
    "PPCA",
    "ConditionalModel",
    "Estimate",
    "Gaussian",
    "GenerativeModel",
    "Method",
    "RatioSupportWarning",
    "ScoreCurve",
    "chain_rule",
    "check_leak",
    "conjugate_mean",
    "crossing_ratio",
    "fixed_ratio_bias",
    "log_likelihood",
    "loss",
    "order_mixture_bound",
    "order_spread",
    "outside_support",
    "partial",
    "score_at_size",
    "score_curve",
]
