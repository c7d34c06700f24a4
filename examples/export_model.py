"""Train on a table, export the model as ONNX, and use it without maskwise.

python examples/export_model.py

Needs ``pip install "maskwise[onnx]"``. Rows may have holes: what is there makes their features.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer

import maskwise as mw

OUT = Path("exported")


def main() -> None:
    rows = load_breast_cancer().data
    run = mw.pretrain("breast-cancer", out="runs/tumours", law="uniform:0.1,0.9")
    run.export(OUT, "onnx", license="mit")
    print(f"{OUT}: {', '.join(sorted(path.name for path in OUT.iterdir()))}")

    # From here on maskwise is not needed: the standardisation is part of the model.
    told = json.loads((OUT / "inputs.json").read_text("utf-8"))
    [given] = told["inputs"]
    print(f"in: {given['name']} {given['dtype']} {given['shape']}, {len(told['columns'])} columns")
    session = onnxruntime.InferenceSession(OUT / "model.onnx")
    rows[::2, 3:9] = np.nan
    [features] = session.run(None, {given["name"]: rows})
    print(f"out: {features.shape}, {features.dtype}")

    off = np.abs(features - run.embed(rows)).max()
    print(f"off from maskwise's own by {off:.0e} at most")
    assert off < 1e-4


if __name__ == "__main__":
    main()
