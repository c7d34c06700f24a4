import numpy as np
import pytest
from scipy import sparse

from maskwise.theory import advise, best_ratio, estimate_mask_graphs, power_law, risk


@pytest.fixture
def theory_cli(cli, tmp_path, monkeypatch):
    """Run a line of words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda text: cli(*text.split())


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_the_risk_of_laws(theory_cli, tmp_path):
    status, out, err = theory_cli(
        "theory risk --spectrum power_law:1 --dim 100 --noise 0.3 --num-samples 50,200 "
        "--law fixed:0.3 uniform:0.1,0.5 --test-ratio 0.2 --rescale -o made/risk.png"
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["law", "samples", "risk", "bias", "variance", "irreducible"]
    cells = [line.split() for line in lines[1:5]]
    assert [row[:2] for row in cells] == [
        ["fixed:0.3", "50"],
        ["fixed:0.3", "200"],
        ["uniform:0.1,0.5", "50"],
        ["uniform:0.1,0.5", "200"],
    ]
    expected = risk(power_law(100), "uniform:0.1,0.5", 200, 0.3, test_ratio=0.2, rescale=True)
    parts = (expected.total, expected.bias, expected.variance, expected.irreducible)
    assert cells[3][2:] == [f"{part:.4f}" for part in parts]
    best = best_ratio(power_law(100, noise=0.3), 50, test_ratio=0.2, rescale=True).law.mean()
    assert lines[6].startswith(
        f"With 50 samples and one mask for each, the best fixed ratio is {best:.2f}"
    )
    assert lines[7] == "picture: made/risk.png"
    assert is_picture(tmp_path / "made/risk.png")


def test_the_graph_of_images(theory_cli, tmp_path):
    status, out, err = theory_cli(
        "theory graph digits --data.patch 4,2 --data.limit 120 --num-samples 60 --num-masks 1 "
        "--ratios 0.25,0.5,0.75 --law 0.5 uniform:0.3,0.7 -o made/graph.png"
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "digits: 120 samples of 8 features: means of the 2x4 patches of 4x2 pixels"
    names = "hidden ratio gap disagreement class error alignment unrelated gap"
    assert " ".join(lines[2].split()) == names
    assert [line[:6] for line in lines[3:6]] == ["2 of 8", "4 of 8", "6 of 8"]
    assert lines[6].split()[2:] == lines[4].split()[4:]
    assert lines[7].startswith("uniform:0.3,0.7  0.500")
    assert lines[-1] == "picture: made/graph.png"
    assert is_picture(tmp_path / "made/graph.png")


def test_the_graph_of_tables(theory_cli, tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 4)).cumsum(1)
    kinds = np.where(x[:, 0] > 0, "high", "low")
    rows = [",".join(map(str, row)) for row in x]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d", *rows]))
    with_kind = [f"{row},{kind}" for row, kind in zip(rows, kinds, strict=True)]
    (tmp_path / "k.csv").write_text("\n".join(["a,b,c,d,kind", *with_kind]))
    options = {"num_masks": 2, "neighbours": 5.0, "seed": 1}
    expected = estimate_mask_graphs(x, kinds, **options)
    words = "--num-masks 2 --neighbours 5 --seed 1"
    _, plain, _ = theory_cli(f"theory graph t.csv {words}")
    assert "gap: 1 - σ₂²" in plain
    assert "class" not in plain
    assert plain.splitlines()[3].split()[3:5] == ["0.250", f"{expected.gap[0]:.3f}"]
    _, classes, _ = theory_cli(f"theory graph k.csv --labels kind {words}")
    assert classes.splitlines()[3].split()[4:6] == [
        f"{expected.gap[0]:.3f}",
        f"{expected.disagreement[0]:.3f}",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("k.csv", "column 'kind': 'high' in data row 1"),
        ("k.csv --labels kin", "no column 'kin'; did you mean kind"),
        ("n.csv --labels a", "labels have 4 different values in 4 samples: give classes"),
        ("m.csv --labels kind", "the label of row 1 is missing"),
        ("k.csv --labels kind", "neighbours=10 must be at least 1 and below the 4 samples"),
        ("digits --labels y", "images have no column 'y'; leave it out"),
        ("digits --ratios a", "'a' must be numbers, as in 0.25,0.75"),
        ("digits --ratios 1.5", "ratio 1.5 is outside (0, 1)"),
        ("digits --no", "mask graphs have no setting 'no': give data.* keys"),
    ],
)
def test_graphs_that_cannot_be_made(theory_cli, tmp_path, words, says):
    (tmp_path / "k.csv").write_text("a,b,kind\n1,2,high\n3,5,low\n7,1,low\n8,0,low\n")
    (tmp_path / "n.csv").write_text("a,b,c\n1,2,3\n3,5,8\n7,1,2\n8,0,5\n")
    (tmp_path / "m.csv").write_text("a,b,kind\n1,2,high\n3,5,\n7,1,high\n")
    status, _, err = theory_cli(f"theory graph {words}")
    assert status == 2
    assert says in err
    assert err.count("\n") == 1


def test_options_of_the_risk(theory_cli):
    common = "theory risk --spectrum ar1:0.5 --dim 30 --num-samples 60 --law 0.3"
    options = ["", "--masks fresh", "--target-hidden", "--ridge 0.3", "--test-ratio 0.4"]
    printed = {theory_cli(f"{common} {option}")[1].splitlines()[1] for option in options}
    assert len(printed) == len(options)


def test_advice_on_images(theory_cli, tmp_path):
    status, out, err = theory_cli(
        "theory advise --data.patch 4,2 digits --num-samples 20 -o advice.png --data.limit 300"
    )
    assert (status, err) == (0, "")
    assert out.startswith(
        "digits: 300 samples of 8 features: means of the 2x4 patches of 4x2 pixels\n"
    )
    assert "With 20 samples and one mask for each, the best fixed ratio is" in out
    assert "This rests on:" in out
    assert is_picture(tmp_path / "advice.png")


def test_advice_on_tables(theory_cli, tmp_path):
    x = np.random.default_rng(0).poisson(1.0, (60, 6)) * np.array([1, 1, 1, 1, 0, 1.0])
    x[:, 5] += x[:, 0]
    np.save(tmp_path / "t.npy", x)
    sparse.save_npz(tmp_path / "t.npz", sparse.csr_array(x))
    rows = [",".join(map(str, row)) for row in x]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,e,f", *rows]))
    expected = advise(x, num_samples=20)
    for name in ("t.npy", "t.npz", "t.csv"):
        status, out, _ = theory_cli(f"theory advise {name} --num-samples 20")
        assert status == 0
        assert f"{name}: 60 samples of 6 features: columns" in out
        assert str(expected) in out
        assert "1 columns that never vary were left out" in out
    expected = advise(x[:, :5], x[:, 5], num_samples=[3, 30], rescale=True)
    status, out, _ = theory_cli("theory advise t.csv --target f --num-samples 3,30 --rescale")
    assert status == 0
    assert str(expected) in out


BAD = [
    ("theory", "required: risk|advise"),
    ("theory risk --law 0.3 --num-samples 10", "required: --spectrum"),
    ("theory risk --spectrum ar1:2 --law 0.3 --num-samples 10", "rho 2 is outside"),
    ("theory risk --spectrum x --law 0.3 --num-samples 10", "unknown spectrum 'x'"),
    ("theory risk --spectrum ar1:0.5 --law 1.3 --num-samples 10", "1.3"),
    ("theory risk --spectrum ar1:0.5 --law sometimes --num-samples 10", "unknown law"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 4x", "'4x' must be whole numbers"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 0", "num_samples 0"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 400", "give a ridge > 0"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 9 --ridge -1", "ridge -1"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 9 --dim 0", "dim 0"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 9 --noise -1", "noise -1"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 9 --test-ratio 1", "test ratio 1"),
    ("theory risk --spectrum ar1:0.5 --law 0.3 --num-samples 9 --seed 1", "unknown option"),
    ("theory advise none.csv", "no file or folder 'none.csv'"),
    ("theory advise nan.csv", "row 1, column 0 is nan"),
    ("theory advise still.csv", "0 columns vary"),
    ("theory advise short.csv", "at least 2 of each"),
    ("theory advise digits --target 3", "images have no column '3'"),
    ("theory advise nan.csv --target z", "no column 'z'"),
    ("theory advise digits --train.steps 3", "advice has no setting 'train.steps'"),
    ("theory advise digits --data.ptch 3", "unknown key 'ptch'; did you mean 'patch'?"),
    ("theory advise digits --data.patch 3", "does not divide"),
]


@pytest.mark.parametrize(("words", "says"), BAD)
def test_bad_input_is_one_line(theory_cli, tmp_path, words, says):
    (tmp_path / "nan.csv").write_text("a,b\n1,2\nnan,3\n4,4\n")
    (tmp_path / "still.csv").write_text("a,b\n1,2\n1,2\n")
    (tmp_path / "short.csv").write_text("a,b\n1,2\n")
    before = set(tmp_path.iterdir())
    status, _, err = theory_cli(f"{words} -o made.png" if "-" in words else words)
    assert status == 2
    assert says in err
    assert err.startswith("maskwise: ")
    assert err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before
