"""Pretrain on texts of your own, fill a gap, and find the texts most like another.

Needs `pip install "maskwise[text]"`. Any list of strings goes in place of these.
"""

import tempfile
from pydoc_data.topics import topics

import numpy as np

import maskwise as mw
from maskwise.text.completion import complete

TEXTS = [topics[name] for name in sorted(topics)]  # Python's own manual


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = mw.pretrain(
            TEXTS,
            law="uniform:0.1,0.5",
            pattern="words",
            out=f"{folder}/run",
            model={"width": 32, "depth": 2, "heads": 2},
            train={"steps": 30, "batch_size": 32, "lr": 5e-3},
            evaluate={"num_rows": 32, "ratios": (0.15, 0.5), "baselines": False},
            **{"data.vocab_size": 1024, "data.length": 64},
        )
        curve = run.result["reconstruction"]["curve"]
        print({point["ratio"]: round(point["error"], 2) for point in curve}, "nats per token")

        filled = complete(run.model(), "The [MASK] statement", num=3)
        print([each.token for each in filled.alternatives[0]])

        lines = ["for loops", "while loops", "the import system", "how modules are imported"]
        z = run.embed(lines)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        nearest = (z @ z.T - 2 * np.eye(len(z))).argmax(axis=1)
        for line, index in zip(lines, nearest, strict=True):
            print(f"{line}: nearest is {lines[index]}")


if __name__ == "__main__":
    main()
