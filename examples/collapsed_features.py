"""Do the features of a masked autoencoder collapse, and does a uniformity term cure it?"""

import tempfile
from pathlib import Path

import maskwise as mw

TERMS = {
    "none (MAE)": {},
    "uniformity (U-MAE)": {"uniformity": 0.01},
    "coding rate (M-MAE)": {"coding_rate": 0.01},
}

with tempfile.TemporaryDirectory() as folder:
    print(f"{'term':<22} {'rank':>5} {'energy':>7} {'probe':>6}")
    for number, (name, term) in enumerate(TERMS.items()):
        run = mw.pretrain(
            "digits",
            out=Path(folder) / str(number),
            law="fixed:0.75",
            train={"steps": 300},
            regularise={"pool": "class", **term},
            diagnose={"pool": "class"},
            evaluate={"pools": ["class"], "protocols": ["logistic"], "baselines": False},
        )
        features = run.result["features"]["encoder"]
        [probe] = run.result["probes"]
        rank, energy = features["effective_rank"], features["energy"]
        print(f"{name:<22} {rank:5.1f} {energy:7.3f} {probe['accuracy']:6.1%}")
