import json
from pathlib import Path

import numpy as np
import pytest

CONFIG = {
    "data": {"source": "digits", "test_fraction": 0.2, "resize": None},
    "model": {"patch": [2, 2], "width": 64, "depth": 4, "heads": 4, "target": "normalised"},
    "law": "uniform:0.4,0.9",
    "pattern": "scattered",
    "train": {
        "steps": 600,
        "batch_size": 128,
        "lr": 0.001,
        "weight_decay": 0.05,
        "scope": "step",
        "reduction": "sample_mean",
    },
    "evaluate": {"ratios": [0.1, 0.3, 0.5, 0.7, 0.9], "num_samples": 8},
    "efficiency": {"precision": "bf16", "compile": False},
    "seed": 0,
}
ENV = {
    "maskwise": "0.1.0",
    "python": "3.11.9",
    "torch": "2.13.0+cpu",
    "platform": "Linux-6.1-x86_64",
    "cpu": "Some CPU @ 2.10GHz",
    "threads": 2,
    "device": "cpu",
    "command": "maskwise pretrain digits",
    "started": "2026-01-02T03:04:05+00:00",
}


def metrics(steps, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(1, steps + 1):
        ratio = round(rng.uniform(0.4, 0.9) * 16) / 16
        loss = 0.35 + 0.65 * np.exp(-step / 80) + 0.3 * (ratio - 0.65) + rng.normal(0, 0.02)
        row = {"step": step, "epoch": step // 12, "loss": float(loss), "ratio": ratio}
        row["lr"] = 1e-3 * min(step / 60, 0.5 + 0.5 * float(np.cos(np.pi * step / steps)))
        row["grad_norm"] = float(np.exp(rng.normal(-0.5, 0.3)) + 3 * np.exp(-step / 30))
        row |= {"samples_per_s": 9000.0, "encoder_tokens_per_s": 50000.0, "seconds": step * 0.04}
        rows.append(json.dumps(row))
    return "\n".join(rows) + "\n"


def result(seed):
    grid = np.linspace(0.1, 0.9, 9)
    error = 0.3 + 0.5 * grid**2 + 0.01 * seed
    curve = [
        {
            "ratio": float(r),
            "realised": round(float(r) * 16) / 16,
            "error": float(e),
            "low": float(e - 0.02),
            "high": float(e + 0.02),
        }
        for r, e in zip(grid, error, strict=True)
    ]
    accuracies = {
        "logistic-lbfgs (C=1, standardised on train)": (0.961, 0.947, 0.955, 0.951, 0.892),
        "mae-batchnorm-lars (90 epochs, lr 6.4, no augmentation)": (
            0.958,
            0.944,
            0.949,
            0.946,
            0.871,
        ),
        "knn (k=20, T=0.07)": (0.972, 0.958, 0.966, 0.969, 0.928),
    }
    kinds = ("encoder, mean", "encoder, class", "raw pixels", "PCA", "untrained encoder, mean")
    return {
        "name": "digits",
        "train": {
            "steps": 600,
            "seconds": 24.3,
            "num_samples": 76800,
            "encoder_tokens": 431000,
            "final_loss": 0.354,
            "num_parameters": 214532,
        },
        "law": {"name": "uniform:0.4,0.9", "scope": "step", "mean": 0.65, "effective_mean": 0.65},
        "data": {"name": "digits", "num_train": 1437, "num_test": 360, "shape": [1, 8, 8]},
        "reconstruction": {
            "target": "normalised",
            "pattern": "scattered",
            "num_samples": 360,
            "curve": curve,
            "baselines": {"visible mean": [point | {"error": 0.98} for point in curve]},
        },
        "probes": [
            {
                "features": kind,
                "protocol": protocol,
                "accuracy": value - 0.002 * seed,
                "low": value - 0.02,
                "high": value + 0.015,
                "num_train": 1437,
                "num_test": 360,
            }
            for protocol, values in accuracies.items()
            for kind, value in zip(kinds, values, strict=True)
        ],
    }


def likelihood(seed):
    ratios = np.arange(1, 17) / 16
    scores = -22 - ratios**4 - 0.01 * seed
    return {
        "data": "digits",
        "num_samples": 256,
        "passes": 64,
        "seed": 0,
        "length": 16,
        "num_dims": 64,
        "curve": [
            {
                "size": size + 1,
                "ratio": float(ratio),
                "score": float(score),
                "low": float(score - 0.1),
                "high": float(score + 0.1),
            }
            for size, (ratio, score) in enumerate(zip(ratios, scores, strict=True))
        ],
        "area": {
            "nats": float(scores.sum()),
            "bits_per_dim": float(-scores.sum() / 64 / np.log(2)),
            "stderr": 0.42,
            "stderr_masks": 0.055,
            "bits_stderr": 0.0095,
        },
        "anchor": {"score": -23.9, "nats": -382.4, "bits_per_dim": 8.62},
        "law": {
            "name": "uniform:0.4,0.9",
            "low": 0.4,
            "high": 0.9,
            "sizes_outside": 7,
            "nats_outside": -156.2,
        },
    }


def samples(seed):
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    images = (load_digits().images[:8] / 16).astype(np.float32)[..., None]
    ratios = np.array([0.25, 0.5, 0.75, 0.9])
    scores = rng.random((8, 4, 4))
    counts = np.round(ratios * 16).astype(int)
    rank = scores.reshape(8, 16).argsort(1).argsort(1).reshape(8, 4, 4)
    hidden = (rank[None] < counts[:, None, None, None]).repeat(2, axis=2).repeat(2, axis=3)
    noise = rng.normal(0, 0.15, (4, *images.shape)).astype(np.float32)
    visible = np.where(hidden[..., None], np.clip(images + 2 * noise, 0, 1), images)
    true = np.where(hidden[..., None], np.clip(images + noise, 0, 1), images)
    return {
        "images": images,
        "ratios": ratios,
        "hidden": hidden,
        "filled_visible": visible.astype(np.float32),
        "filled_true": true.astype(np.float32),
    }


@pytest.fixture
def make_run(tmp_path):
    """Build a small run folder; `changes` replace top-level keys of its configuration."""

    def make(name="digits-uniform", seed=0, steps=600, evaluated=True, **changes) -> Path:
        run = tmp_path / name
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps(CONFIG | {"seed": seed} | changes))
        (run / "env.json").write_text(json.dumps(ENV))
        (run / "metrics.jsonl").write_text(metrics(steps, seed))
        if evaluated:
            (run / "result.json").write_text(json.dumps(result(seed)))
            (run / "likelihood.json").write_text(json.dumps(likelihood(seed)))
            np.savez(run / "samples.npz", **samples(seed))
        return run

    return make
