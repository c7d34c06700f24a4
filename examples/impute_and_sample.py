"""Fit a model to a table; fill in missing values with intervals, draw rows, find odd ones.

python examples/impute_and_sample.py
"""

import torch
from sklearn.datasets import load_wine

from maskwise import likelihood
from maskwise.rng import Keys, Stream


def main() -> None:
    table = load_wine()
    x = torch.tensor(table.data)
    mean, deviation = x.mean(0), x.std(0)
    x = (x - mean) / deviation
    train, test = x[::2], x[1::2]
    model = likelihood.PPCA.fit(train, num_components=4)

    # A third of the test values go missing.
    keys = Keys(seed=0, epoch=0, sample_ids=torch.arange(len(test)))
    observed = keys.uniform(Stream.SCORE, test.shape[1]) > 1 / 3
    holes = torch.where(observed, test, torch.nan)
    found = likelihood.impute(model, holes, observed, num_samples=99)
    missing = ~observed
    for name, guess in (("column mean", train.mean(0).expand_as(test)), ("imputed", found.mean)):
        error = (guess - test)[missing].square().mean().sqrt()
        print(f"{name:<12} error {error:.2f} standard deviations")
    low, high = found.interval(0.9)
    covered = ((low <= test) & (test <= high))[missing].double().mean()
    print(f"90 % intervals cover {covered:.0%}, mean width {(high - low)[missing].mean():.2f}")
    for row, column in missing.nonzero()[:3].tolist():
        scale, shift = deviation[column], mean[column]
        values = [each[row, column] * scale + shift for each in (test, found.mean, low, high)]
        print(
            "  {}: was {:.2f}, imputed {:.2f} ({:.2f} to {:.2f})".format(
                table.feature_names[column], *values
            )
        )

    curve = likelihood.score_curve(model, test, num_masks=64)
    for num in (1, 3, 6, 13):
        blocks = likelihood.best_blocks(curve, num)
        bound = likelihood.block_bound(curve, blocks)
        print(f"{num:2d} predictions for a sample: {bound:.2f} nats with blocks of {blocks}")
    new = likelihood.sample(model, 1, blocks=[4, 4, 5])[0] * deviation + mean
    print("a new wine:", " ".join(f"{value:.2f}" for value in new))

    mixed = test.clone()
    mixed[0] = test[0].roll(1)  # plausible numbers in the wrong columns
    scores = likelihood.score_samples(model, mixed)
    print(f"score {scores[0]:.1f} of a shuffled row; the others' median {scores[1:].median():.1f}")


if __name__ == "__main__":
    main()
