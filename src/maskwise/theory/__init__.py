"""The theory of the mask ratio: what a law costs, in closed form, before anything is trained.

Linear regression from masked inputs, in high dimension: any covariance, any law, one mask per
sample or fresh ones. Only numpy and scipy are used (torch for `simulate` on a GPU).
"""

from maskwise.theory.advice import Advice, advise
from maskwise.theory.covariance import Covariance, ar1, block, latent_factor
from maskwise.theory.estimation import FeatureSpectrum, estimate
from maskwise.theory.optimise import Best, best_interval, best_law, best_ratio
from maskwise.theory.risks import Risk, risk
from maskwise.theory.simulation import Simulation, simulate
from maskwise.theory.spectra import Spectrum, isotropic, power_law, spiked
from maskwise.theory.wins import WinMap, win_map

__all__ = [
    "Advice",
    "Best",
    "Covariance",
    "FeatureSpectrum",
    "Risk",
    "Simulation",
    "Spectrum",
    "WinMap",
    "advise",
    "ar1",
    "best_interval",
    "best_law",
    "best_ratio",
    "block",
    "estimate",
    "isotropic",
    "latent_factor",
    "power_law",
    "risk",
    "simulate",
    "spiked",
    "win_map",
]
