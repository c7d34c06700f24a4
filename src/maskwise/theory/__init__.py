"""The theory of the mask ratio: what a law costs, in closed form, before anything is trained.

Linear regression from masked inputs, in high dimension: any covariance, any law, one mask per
sample or fresh ones. And mask graphs, exact or estimated: what a ratio makes alike. Only numpy and
scipy are used (torch for `simulate` on a GPU).
"""

from maskwise.theory.advice import Advice, advise
from maskwise.theory.estimated_graph import estimate_mask_graph, estimate_mask_graphs
from maskwise.theory.estimation import FeatureSpectrum, estimate
from maskwise.theory.graphs import GraphCurve, MaskGraph, World, bit_world, mask_graph, mask_graphs
from maskwise.theory.models import ar1, block, isotropic, latent_factor, power_law, spiked
from maskwise.theory.optimise import Best, WinMap, best_interval, best_law, best_ratio, win_map
from maskwise.theory.risks import Risk, risk
from maskwise.theory.simulation import Simulation, simulate
from maskwise.theory.spectra import Covariance, Spectrum

__all__ = [
    "Advice",
    "Best",
    "Covariance",
    "FeatureSpectrum",
    "GraphCurve",
    "MaskGraph",
    "Risk",
    "Simulation",
    "Spectrum",
    "WinMap",
    "World",
    "advise",
    "ar1",
    "best_interval",
    "best_law",
    "best_ratio",
    "bit_world",
    "block",
    "estimate",
    "estimate_mask_graph",
    "estimate_mask_graphs",
    "isotropic",
    "latent_factor",
    "mask_graph",
    "mask_graphs",
    "power_law",
    "risk",
    "simulate",
    "spiked",
    "win_map",
]
