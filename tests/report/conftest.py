import json
from pathlib import Path

import numpy as np
import pytest

from tests.report import diagnosed, tabular

CONFIG = {
    "modality": "images",
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


@pytest.fixture(scope="module", autouse=True)
def figures(drawn):
    """Of which these tests are."""


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
        row |= {"encoder_tokens": 700 * step, "predicted": 1300 * step}
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
        "features": diagnosed.features(seed),
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


TEXT_CONFIG = {
    "modality": "text",
    "data": {"source": "novels.txt", "vocab_size": 8192, "length": 16, "pack": True},
    "model": {"width": 64, "depth": 2, "heads": 4},
    "law": "uniform:0.1,0.5",
}
PARADIGMS = {"agreement_subject_verb": (0.71, 40), "anaphor_gender": (0.43, 20)}
DOCUMENTS = [[" The", " cat", "\n", " s", "at", " <b>"], [" A", " dog"]]


def spread(name, accuracy, half=0.05):
    return {name: accuracy, "low": accuracy - half, "high": accuracy + half}


def text_result(seed):
    ratios = [0.05, 0.15, 0.3, 0.5, 0.95]
    curves = [
        [
            {"ratio": ratio, "realised": ratio} | spread("error", start + ratio + 0.1 * seed)
            for ratio in ratios
        ]
        for start in (4.0, 6.0)
    ]
    return {
        "name": "novels",
        "train": {
            "steps": 600,
            "seconds": 24.3,
            "num_samples": 76800,
            "encoder_tokens": 1_228_800,
            "predicted": 368_640,
            "final_loss": 4.35,
            "num_parameters": 214532,
        },
        "data": {"name": "novels", "num_train": 900, "num_test": 50, "shape": [16]},
        "reconstruction": {
            "target": "tokens",
            "pattern": "scattered",
            "num_samples": 50,
            "curve": curves[0],
            "baselines": {"unigram": curves[1]},
            "mean": {"from": 0.05, "to": 0.95} | spread("error", 4.5 + 0.1 * seed),
        },
        "features": diagnosed.features(seed),
        "probes": text_probes(seed),
        "minimal_pairs": [
            {
                "name": "zorro",
                "metric": "within-word-l2r",
                "num_pairs": 60,
                "ties": 2,
                "hidden_ratio": 0.12,
                "paradigms": [
                    {"name": name, "num": num} | spread("accuracy", accuracy - 0.01 * seed)
                    for name, (accuracy, num) in PARADIGMS.items()
                ],
            }
            | spread("accuracy", 0.57 - 0.01 * seed)
        ],
        "finetuning": [
            finetuned("encoder", (0.81, 0.83, 0.82), seed),
            finetuned("untrained encoder", (0.71, 0.69, 0.70), seed),
        ],
    }


def text_probes(seed):
    logistic, knn = "logistic-lbfgs (C=1, standardised on train)", "knn (k=20, T=0.07)"
    rows = []
    for protocol, base in ((logistic, 0.7), (knn, 0.6)):
        for layer, gain in enumerate((0.0, 0.05)):
            value = base + gain - 0.01 * seed
            rows.append(("sst2", f"encoder layer {layer}, mean", protocol, value))
            rows.append(("sst2", f"untrained encoder layer {layer}, mean", protocol, base - 0.1))
    rows.append(("sst2", "bag of words", "logistic on tf-idf (C=10)", 0.78))
    rows.append(("ud", "encoder layer 0", logistic, 0.88))
    rows.append(("ud", "most frequent tag of the word", "counts", 0.84))
    return [
        {"task": task, "features": features, "protocol": protocol}
        | {"num_train": 800, "num_test": 400, "note": "3 texts cut" * features.endswith("mean")}
        | spread("accuracy", value)
        for task, features, protocol, value in rows
    ]


def finetuned(model, values, seed):
    values = [value - 0.01 * seed for value in values]
    return {
        "task": "sst2",
        "model": model,
        "accuracy": interval(values),
        "mcc": interval([2 * value - 1 for value in values]),
        "seeds": [
            {"seed": number, "accuracy": value, "mcc": 2 * value - 1}
            for number, value in enumerate(values)
        ],
        "majority": 0.51,
        "num_train": 800,
        "num_test": 400,
        "epochs": 3,
        "batch_size": 32,
        "lr": 3e-4,
        "note": "",
    }


def interval(values):
    mean = float(np.mean(values))
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


def text_samples():
    def token(place, right, *guesses):
        found = {"place": place, "probability": 0.4 if right else 0.0213, "right": right}
        return found | {"guesses": [[text, 0.4 / rank] for rank, text in enumerate(guesses, 1)]}

    masks = [
        {"ratio": 0.15, "hidden": [token(1, True, " cat", " dog")]},
        {
            "ratio": 0.5,
            "hidden": [
                token(1, True, " cat", " dog"),
                token(2, False, " and", "\n"),
                token(4, False, " at", "it"),
                token(7, False, " <i>", " dog"),
            ],
        },
    ]
    return {"pattern": "scattered", "rows": [{"documents": DOCUMENTS, "masks": masks}]}


def text_likelihood(seed):
    ratios = np.arange(1, 15) / 14
    return {
        "words": {"sample": "row", "position": "token", "dimension": "token"}
        | {"anchor": "uniform predictor, -ln 8,187"},
        "data": "novels",
        "num_samples": 24,
        "passes": 8,
        "seed": 0,
        "length": 13.6,
        "num_dims": 13.6,
        "curve": [
            {"size": size + 1, "ratio": float(ratio)} | spread("score", -4 - ratio - 0.1 * seed)
            for size, ratio in enumerate(ratios)
        ],
        "area": {
            "nats": -61.3 - seed,
            "bits_per_dim": 6.55,
            "stderr": 1.2,
            "stderr_masks": 0.4,
            "bits_stderr": 0.13,
            "perplexity": 93.6,
            "bits_per_byte": 1.937,
        },
        "anchor": {"score": -9.01, "nats": -121.6, "bits_per_dim": 13.0},
        "law": {
            "name": "uniform:0.1,0.5",
            "low": 0.1,
            "high": 0.5,
            "sizes_outside": 8,
            "nats_outside": -36.9,
        },
    }


@pytest.fixture
def make_text_run(make_run):
    """Build a small run folder of a run on texts, as `make_run` does for images."""

    def make(name="novels", seed=0, evaluated=True, **changes) -> Path:
        run = make_run(name, seed, evaluated=False, **(TEXT_CONFIG | changes))
        if evaluated:
            (run / "result.json").write_text(json.dumps(text_result(seed)))
            (run / "likelihood.json").write_text(json.dumps(text_likelihood(seed)))
            (run / "samples.json").write_text(json.dumps(text_samples()))
        return run

    return make


@pytest.fixture
def make_tabular_run(make_run):
    """Build a small run folder of a run on cells or a table."""

    def make(modality, name="blood", seed=0, evaluated=True, **changes) -> Path:
        run = make_run(name, seed, evaluated=False, **(tabular.CONFIG[modality] | changes))
        if evaluated:
            (run / "result.json").write_text(json.dumps(tabular.result(modality, seed)))
            (run / "samples.json").write_text(json.dumps(tabular.samples(seed)))
        return run

    return make
