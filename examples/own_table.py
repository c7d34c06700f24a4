"""Learn a data frame with holes; fill it in, describe its rows by codes, find odd ones.

python examples/own_table.py
"""

import numpy as np
from sklearn.datasets import load_wine

from maskwise.integrations.sklearn import MaskedAutoencoder


def main() -> None:
    wine = load_wine(as_frame=True)
    table = wine.data
    table["cultivar"] = wine.target_names[wine.target]  # text: a category
    holes = table.mask(np.random.default_rng(0).random(table.shape) < 0.1)

    # The linear path suits tables this small.
    model = MaskedAutoencoder(width=64, linear=4, code=8, steps=200, random_state=0).fit(holes)
    filled = model.impute(holes)  # a data frame of the same types
    hidden = holes.isna()
    right = (filled == table)["cultivar"][hidden["cultivar"]].mean()
    print(f"{hidden['cultivar'].sum()} cultivars filled in, {right:.0%} right")
    for name in ("alcohol", "flavanoids", "proline"):
        gaps = hidden[name]
        off = (filled[name] - table[name])[gaps].std() / table[name].std()
        print(f"{gaps.sum()} values of {name} filled in, off by {off:.2f} standard deviations")

    codes = model.transform(holes)  # [178, 8], for any other model
    print("codes", codes.shape)

    odd = holes.copy()
    odd.loc[0, ["alcohol", "proline"]] = 11.2, 1600.0  # each is usual, both together are not
    before, after = model.score_samples(holes)[0], model.score_samples(odd)[0]
    print(f"log-likelihood of the first row: {before:.1f} nats, {after:.1f} when made odd")


if __name__ == "__main__":
    main()
