"""Print what each law says of itself: mean, support, standard deviation and a few draws.

python examples/laws_tour.py
"""

import numpy as np

from maskwise import laws

NAMES = (
    "fixed:0.75",
    "uniform:0.6,0.9",
    "beta:3,9",
    "cosine",
    "truncnormal:0.55,0.25,0.5,1",
    "choice:0.2*0.3,0.8*0.75",
    "likelihood",
    "mixture:0.5*fixed:0.15+0.5*uniform:0.1,0.5",
    "scheduled:linear,uniform:0.1,0.3..uniform:0.5,0.9",
)


def main() -> None:
    u = np.random.default_rng(0).uniform(size=4)  # a law draws from uniforms that it is given
    for name in NAMES:
        law = laws.parse(name)
        assert laws.parse(str(law)) == law
        print(law)
        for progress in (0.0, 1.0) if isinstance(law, laws.Scheduled) else (0.0,):
            ratios, weights = law.quadrature(k=64, progress=progress)
            mean = law.mean(progress)
            deviation = float(weights @ (ratios - mean) ** 2) ** 0.5
            low, high = law.support(progress)
            draws = " ".join(f"{ratio:.2f}" for ratio in law.draw(u, progress))
            print(
                f"  at {progress:4.0%}: mean {mean:.3f}, deviation {deviation:.3f},"
                f" from {low:g} to {high:g}; draws {draws}"
            )
        counts = laws.num_hidden(law, u, 64)
        print(f"  hidden of 64 positions: {' '.join(map(str, counts))}")


if __name__ == "__main__":
    main()
