"""What a run on cells or a table leaves behind, made up."""

import numpy as np

from tests.report import diagnosed

CONFIG = {
    "cells": {
        "modality": "cells",
        "data": {"source": "blood.h5ad", "loss": "nb", "num_genes": 2000},
        "model": {"kind": "mlp", "width": 64, "depth": 2, "code": 32},
        "law": "uniform:0.1,0.9",
    },
    "tables": {
        "modality": "tables",
        "data": {"source": "cover.csv", "scale": "standard"},
        "model": {"kind": "transformer", "width": 64, "depth": 2},
        "law": "uniform:0.1,0.9",
    },
}
CLASSES = ["B cell", "CD4+ T cell", "a monocyte whose name is long enough to be cut off"]
METHODS = {"model": 0.42, "feature mean": 0.0, "kNN": 0.35, "PCA": 0.38, "IterativeImputer": None}
NAMES = ["CD3E", "CD19", "LYZ", "NKG7", "$x_1$"]


def spread(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def imputed(seed, entries, mechanism):
    rows = []
    for method, at_best in METHODS.items():
        for ratio in (0.1, 0.5, 0.9):
            r2 = None if at_best is None else at_best * (1 - ratio) - 0.01 * seed * (at_best > 0)
            if method == "kNN" and ratio == 0.9:
                r2 = -2.0
            known = r2 is not None
            note = "" if known else "2,000 features are too many for it"
            note = "compared as logarithms" if method == "model" else note
            rows.append(
                {"method": method, "entries": entries, "mechanism": mechanism, "ratio": ratio}
                | {"r2": r2, "r2_low": r2 - 0.02 if known else None}
                | {"r2_high": r2 + 0.02 if known else None, "mae": 0.31 if known else None}
                | {"pearson_features": 0.5 if known else None}
                | {"pearson_samples": 0.6 if known else None}
                | {"accuracy": None, "seconds": 1.5 if known else None}
                | {"note": note}
            )
    return rows


def probed(seed):
    rows = []
    for task in ("types, all labels", "types, 10 labels a class"):
        for features, f1 in (("encoder", 0.85), ("PCA (50)", 0.86), ("raw values", 0.80)):
            for protocol, loss in (("logistic-lbfgs (C=1)", 0.0), ("knn (k=15)", 0.05)):
                value = f1 - loss - 0.01 * seed
                rows.append(
                    {"task": task, "features": features, "protocol": protocol, "note": ""}
                    | {"accuracy": value + 0.05, "low": value, "high": value + 0.1}
                    | {"macro_f1": spread(value), "mcc": spread(value), "auroc": spread(0.99)}
                    | {"num_train": 900, "num_test": 300}
                )
    return rows


def result(modality, seed):
    curves = [
        [
            {"ratio": r, "realised": r, "error": at + r / 10 + seed / 100}
            | {"low": at + r / 10 - 0.01, "high": at + r / 10 + 0.02}
            for r in (0.1, 0.5, 0.9)
        ]
        for at in (0.35, 0.5)
    ]
    kinds = [("all", "random")]
    if modality == "cells":
        kinds += [("nonzero", "random"), ("nonzero", "intensity")]
    found = {
        "name": "blood",
        "train": {"steps": 600, "seconds": 24.3, "num_samples": 76800, "final_loss": 0.35}
        | {"encoder_tokens": 9_000_000, "predicted": 4_000_000, "num_parameters": 214532},
        "data": {"name": "blood", "num_train": 900, "num_test": 300, "shape": [2000]},
        "reconstruction": {"pattern": "scattered", "num_samples": 300, "curve": curves[0]}
        | {"baselines": {"marginal": curves[1]}},
        "features": diagnosed.features(seed),
        "imputation": [row for kind in kinds for row in imputed(seed, *kind)],
        "probes": probed(seed),
        "clusters": [
            {"features": name, "k": 3, "ari": spread(ari - seed / 100), "nmi": spread(ari + 0.1)}
            for name, ari in (("encoder", 0.7), ("PCA (50)", 0.65))
        ],
    }
    if modality == "cells":
        found["mixing"] = [
            {"features": name, "lisi": spread(lisi), "best": 1.9, "worst": 1.0, "asw": 0.05}
            for name, lisi in (("encoder", 1.6), ("PCA (50)", 1.4))
        ]
    return found


def samples(seed, labelled=True):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 200)
    places = rng.normal(size=(200, 2)) + 4 * np.stack([labels, labels % 2], axis=1)
    true = rng.normal(size=(8, len(NAMES))).round(2).tolist()
    true[1][2] = None
    hidden = rng.random((8, len(NAMES))) < 0.5
    hidden[1, 2] = False
    return {
        "points": {"encoder": places.tolist(), "raw values": places[:, ::-1].tolist()},
        "explained": {"encoder": [0.4, 0.21], "raw values": [0.3, 0.1]},
        "labels": labels.tolist() if labelled else None,
        "classes": CLASSES if labelled else None,
        "rows": {"ratio": 0.5, "num_features": 2000, "names": NAMES, "true": true}
        | {"hidden": hidden.tolist(), "predicted": rng.normal(size=(8, len(NAMES))).tolist()},
    }
