"""Which measurement of a wine to make next, what it is worth, and what an answer is due to.

python examples/what_to_measure_next.py
"""

import numpy as np
from sklearn.datasets import load_wine

from maskwise.columns.asking import ClosedAsking
from maskwise.predict import heads, masked_copies
from maskwise.predict.acquire import acquire
from maskwise.predict.asking import asked_of
from maskwise.predict.attribute import attribute
from maskwise.predict.buying import curve


def main() -> None:
    table = load_wine()
    order = np.random.default_rng(0).permutation(len(table.data))
    x, y = table.data[order], table.target[order]
    names = [name.partition("/")[0] for name in table.feature_names]

    # A normal distribution of the columns, and a head that answers from any of them.
    known = ClosedAsking.learn(x[:120], names=names)
    head = heads.fit(known, y[:120], masked_copies.hide(known.there), classes=True)

    print("a wine of which only the colour is known, and measurements that cost 1 or 5:")
    wine = np.where(np.array(names) == "color_intensity", x[120], np.nan)[None]
    cost = {name: 5.0 if name in ("proline", "flavanoids") else 1.0 for name in names}
    print(acquire(known.of(wine), head, cost=cost))
    print("\nthree at once, for 6 together:")
    together = acquire(known.of(wine), head, cost=cost, batch=3, budget=6)
    print(
        f"  {', '.join(names[each] for each in together.chosen[0])}: {together.joint[0]:.2f} nats"
    )

    print("\none after the other, each given what came of those before:")
    for _ in range(3):
        [place] = acquire(known.of(wine), head, cost=cost).chosen[0]
        wine[0, place] = x[120, place]
        [said] = asked_of(head, known.of(wine), np.arange(1), np.isnan(wine))
        value = f"{names[place]} = {wine[0, place]:g}"
        print(f"  {value}: class {said.argmax()}, {said.max():.0%} sure")
    print(f"  it is class {y[120]}")

    print("\naccuracy for other wines with so many columns measured, from nothing on:")
    rest, rng = known.of(x[121:151]), np.random.default_rng(0)
    at_random = np.stack([rng.permutation(len(names)) for _ in range(30)])
    best_next = curve(rest, head, y[121:151], most=6)
    others = curve(rest, head, y[121:151], order=at_random, most=6)
    for title, found in (("best next", best_next), ("at random", others)):
        print(f"  {title}", " ".join(f"{right:.2f}" for right in found.at(np.arange(1, 7))))

    print("\nwhat the answer to this wine, with all measured, is due to:")
    print(attribute(known.of(x[120:121]), head, classes=tuple(table.target_names), se=0.05))


if __name__ == "__main__":
    main()
