"""Predict from the part of the measurements that a clinic has, and say how sure that is.

python examples/predict_panel.py
"""

import numpy as np
from sklearn.datasets import load_breast_cancer

import maskwise as mw


def main() -> None:
    run = mw.pretrain("breast-cancer", out="runs/tumours", train={"steps": 500})
    # A panel has a fifth to a half of the measurements: the head is fitted for that.
    predictor = run.predictor(law="uniform:0.5,0.8", copies=4)
    held_out = predictor.about["held out"]
    print(f"held out, whole: {held_out['accuracy']:.1%} of {held_out['num']}")

    data = load_breast_cancer()
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    truth = data.target_names[data.target]
    for panel in (list(columns), ["mean texture", "mean area", "worst smoothness"]):
        some = {name: columns[name] for name in panel}  # what lacks is missing
        answers = predictor.answer(some)
        right = (answers.predicted() == truth).mean()
        sets = answers.sets(coverage=0.95)
        # Of all tumours, four fifths of which it has learned from.
        covered = sets[truth[:, None] == predictor.classes].mean()
        print(
            f"{len(panel):2} of 30 measurements: {right:.1%} right, sets of"
            f" {sets.sum(axis=1).mean():.2f} classes hold the truth in {covered:.1%}"
        )

    # Missing values may be anywhere, and a sample of which nothing is known has an answer too.
    rows = {name: values[:3].copy() for name, values in columns.items()}
    for name in columns:
        rows[name][0] = np.nan
    for row in zip(*predictor.answer(rows).columns().values(), strict=True):
        print(*row)


if __name__ == "__main__":
    main()
