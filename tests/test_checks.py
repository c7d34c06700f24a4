"""Public functions refuse what they cannot take in one line, before they compute."""

import numpy as np
import pytest
import torch

from maskwise import diagnostics, laws, likelihood, masks, objectives, theory
from maskwise.checks import checked
from maskwise.errors import UserError

WRONG = {"none": None, "text": "x", "switch": True, "list": [], "mapping": {}}
ARRAYS = {"none": None, "text": "x", "texts": ["a", "b"], "ragged": [[1, 2], [3]], "complex": [1j]}
SPECTRUM = theory.isotropic(5, noise=1.0)
MODEL = likelihood.Gaussian(torch.zeros(3), torch.eye(3))
X = np.random.default_rng(0).normal(size=(12, 3))
IDS = torch.arange(4)

# What is called, what works, and which argument is given what else.
CALLS = {
    "fixed": (laws.Fixed, {"ratio": 0.5}, {"ratio": WRONG}),
    "uniform": (laws.Uniform, {"low": 0.1, "high": 0.5}, {"low": WRONG, "high": WRONG}),
    "effective": (
        laws.effective,
        {"law": laws.Fixed(0.5), "reduction": "sample_mean", "scope": "step", "k": 8},
        {"law": WRONG, "k": WRONG | {"none of them": 0}, "scope": {"number": 3}},
    ),
    "draw": (
        masks.draw,
        {"law": 0.5, "grid": (4,), "sample_ids": IDS, "seed": 0},
        {
            "grid": WRONG | {"part": (2.5,), "words": ("a",)},
            "sample_ids": ARRAYS | {"flat": torch.zeros(2, 2), "real": torch.ones(2)},
            "seed": WRONG | {"part": 1.5},
            "device": {"unknown": "x", "number": 3.5},
        },
    ),
    "isotropic": (
        theory.isotropic,
        {"dim": 5},
        {"dim": WRONG | {"part": 1.5, "huge": 10**14}, "noise": WRONG},
    ),
    "ar1": (theory.ar1, {"dim": 5, "rho": 0.5, "seed": 0}, {"seed": WRONG | {"below": -1}}),
    "covariance": (
        theory.Covariance,
        {"matrix": np.eye(3), "beta": np.ones(3)},
        {"matrix": ARRAYS, "beta": ARRAYS, "noise": WRONG},
    ),
    "best ratio": (
        theory.best_ratio,
        {"model": SPECTRUM, "num_samples": 40, "ridge": 0.1, "ratios": [0.2, 0.5]},
        {"model": WRONG, "ratios": ARRAYS | {"nothing": [], "one": 3.0, "flat": np.ones((2, 2))}},
    ),
    "advise": (
        theory.advise,
        {"data": SPECTRUM, "num_samples": 20},
        {"num_samples": {"text": "x", "nothing": [], "part": 1.5, "switch": True}},
    ),
    "bit world": (
        theory.bit_world,
        {"prototypes": ["0011", "1100"], "flip": 0.1},
        {"prototypes": {"number": 3, "text": "01", "numbers": [1, 2]}, "flip": WRONG},
    ),
    "mask graph": (
        theory.mask_graph,
        {"world": theory.bit_world(["01", "10"], 0.1), "hidden": [True, False]},
        {"world": WRONG},
    ),
    "log likelihood": (
        likelihood.log_likelihood,
        {"model": MODEL, "x": X, "passes": 4},
        {
            "model": WRONG,
            "x": ARRAYS,
            "passes": WRONG | {"part": 1.5},
            "batch_size": WRONG | {"none of them": 0},
        },
    ),
    "orders": (
        likelihood.order_mixture_bound,
        {"model": MODEL, "x": X, "num_orders": 2, "seed": 0},
        {"num_orders": WRONG, "seed": WRONG | {"part": 1.5}},
    ),
    "outside": (
        likelihood.outside_support,
        {"law": "fixed:0.5", "ratios": [0.5], "length": 4},
        {"length": WRONG | {"none": 0}, "ratios": ARRAYS},
    ),
    "uniformity": (diagnostics.uniformity, {"z": X, "t": 2}, {"t": WRONG}),
    "koleo": (
        objectives.koleo,
        {"z": torch.from_numpy(X)},
        {"z": ARRAYS | {"array": X, "flat": torch.zeros(3)}},
    ),
    "orthogonality": (
        objectives.orthogonality,
        {"module": torch.nn.Linear(2, 2)},
        {"module": WRONG},
    ),
}
CASES = [
    pytest.param(call, name, value, id=f"{call}-{name}-{kind}")
    for call, (_, _, wrong) in CALLS.items()
    for name, values in wrong.items()
    for kind, value in values.items()
    if not (call == "advise" and value is None)
    and not (name == "passes" and value is None)  # the default
]


@pytest.mark.parametrize("call", CALLS)
def test_what_works_works(call):
    function, good, _ = CALLS[call]
    function(**good)


@pytest.mark.parametrize(("call", "name", "value"), CASES)
def test_what_cannot_work_is_one_line(call, name, value):
    function, good, _ = CALLS[call]
    with pytest.raises(UserError) as caught:
        function(**good | {name: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_message_has_name_value_and_what_is_needed():
    for values, says in (
        ({"dim": 2.5}, "dim=2.5: it must be a whole number"),
        (
            {"dim": np.zeros((2, 3))},
            "dim=float64 array of shape (2, 3): it must be a whole number",
        ),
        ({"dim": 5, "noise": True}, "noise=True: it must be a number"),
        ({"dim": 10**14}, "isotropic: there is no room for this in memory: "),
    ):
        with pytest.raises(UserError) as caught:
            theory.isotropic(**values)
        assert str(caught.value).startswith(says)
    with pytest.raises(TypeError, match="missing a required argument: 'dim'"):
        theory.isotropic()


def test_numbers_of_every_library_are_numbers():
    @checked("part", num=1)
    def total(num: int, part: int, share: "float | None" = None, each: tuple[int, ...] = ()):
        return num + part + sum(each)

    assert total(np.int64(2), 1.5, np.float32(0.5), each=[1, np.int32(2)]) == 6.5
    assert total(1, 1, None, range(3)) == 5
    for wrong in ((0, 1), ("1", 1), (1, "1"), (1, 1, "x"), (1, 1, None, (1, 2.5))):
        with pytest.raises(UserError):
            total(*wrong)
