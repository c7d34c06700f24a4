"""What the diagnostics of features leave behind, made up."""

import numpy as np


def features(seed: int) -> dict:
    return {
        "pool": "mean",
        "layer": -1,
        "num_samples": 2048,
        "dim": 64,
        "law": "uniform:0.4,0.9",
        "pattern": "scattered",
        "num_views": 4,
        "encoder": figures(31.42 - seed, 0.05),
        "untrained encoder": figures(9.5, 0.3) | {"alpha_req": 2.5},
        "drift": [
            {"ratio": r, "realised": r, "cosine": 1 - r**2 / 2, "cka": 1 - r, "effective_rank": 40}
            for r in (0.1, 0.5, 0.9)
        ],
        "notes": [],
    }


def figures(rank: float, decay: float) -> dict:
    return {
        "num_samples": 2048,
        "dim": 64,
        "effective_rank": rank,
        "effective_rank_uncentred": rank / 2,
        "rankme": rank / 2,
        "participation_ratio": rank / 3,
        "stable_rank": rank / 4,
        "energy": 0.04 / decay**0.5,
        "uniformity": -1.5,
        "mean_cosine": 0.31,
        "spectrum": np.exp(-decay * np.arange(64)).tolist(),
        "lidar": rank / 1.5,
        "alignment": 0.25,
    }
