"""Masked prediction as marginal likelihood: score curves, estimators, exact models.

The masked score, summed over all numbers of hidden positions, is the log-likelihood of a model
(arXiv 2306.00520). Everything here but the exact models needs one method of a model:
``conditional_log_prob(x, hidden)``.
"""
