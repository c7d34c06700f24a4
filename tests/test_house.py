"""Rules of the house: which way imports point, how long things are, what is never used."""

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = sorted((SRC / "maskwise").rglob("*.py"))

# A part may import parts of an earlier line only. Parts of one line do not know each other.
ORDER = [
    ["errors"],
    ["rng", "settings", "files"],
    ["laws"],
    ["masks", "theory"],
    ["modalities", "objectives", "diagnostics", "show"],
    ["models", "likelihood"],
    ["evaluation", "report"],
    ["train"],
    ["integrations"],
    ["pipelines"],
    ["recipes", "run"],
    ["api", "listing", "summary"],
    ["commands"],
    ["theory_commands"],
    ["cli"],
]
DRAWS = {
    f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "bernoulli", "normal")
}
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}


def name(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


def part(module: str) -> str:
    return module.split(".")[1]


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from maskwise import laws` imports maskwise.laws.
            own = module == "maskwise"
            found |= {f"{module}.{alias.name}" if own else module for alias in node.names}
    return found


def reached(start: str) -> set[str]:
    """Return what a part imports, through parts of the house too."""
    seen: set[str] = set()
    found: set[str] = set()
    waiting = [start]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for path in FILES:
            if path.parent == SRC / "maskwise" / current or path.name == f"{current}.py":
                modules = imported(path)
                found |= modules
                own = {part(m) for m in modules if m.startswith("maskwise.")}
                waiting += [p for p in own & RANK.keys() if p not in seen]
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_one_way(path):
    if path == SRC / "maskwise" / "__init__.py":
        assert imported(path) == {"importlib", "typing"}
        return
    here = part(name(path))
    for module in imported(path):
        if not module.startswith("maskwise.") or module == "maskwise.__version__":
            continue
        there = part(module)
        if there != here:
            assert RANK[there] < RANK[here], f"{name(path)} imports {module}"


def test_every_part_has_a_place():
    assert {part(name(path)) for path in FILES} - {"__init__"} == RANK.keys()


def test_reports_need_neither_torch_nor_training():
    """Reading run folders is all they do, so that they work where nothing is trained."""
    modules = reached("report")
    assert not {module.split(".")[0] for module in modules} & {"torch", "lightning_fabric"}
    assert "safetensors.torch" not in modules
    assert "maskwise.laws" in modules


def test_laws_are_mathematics_only():
    assert {module.split(".")[0] for module in reached("laws")} <= {
        *("maskwise", "numpy", "scipy"),
        *("abc", "collections", "dataclasses", "functools", "math", "typing", "re"),
    }


def test_theory_and_diagnostics_need_numpy_and_scipy_only():
    """Torch and matplotlib serve a function each, which imports them."""
    first = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
    for path in FILES:
        if path.parent.name in ("theory", "diagnostics"):
            assert not {"torch", "matplotlib"} & set(first.findall(path.read_text("utf-8")))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_are_short(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 400
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        # The explanation does not count, the code does.
        code = node.body[1:] if ast.get_docstring(node) else node.body
        length = node.end_lineno - code[0].lineno + 1 if code else 0
        # The training loop is one function so that it reads from top to bottom.
        assert length < (70 if node.name == "train" else 60), f"{node.name}: {length} lines"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_stored_is_ever_executed(path):
    assert not {module.split(".")[0] for module in imported(path)} & {
        *("pickle", "dill", "joblib", "marshal", "shelve"),
    }
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in {"eval", "exec", "torch.load", "torch.save"}
        if called in {"np.load", "np.lib.format.read_array"}:
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("allow_pickle") == "False", ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_global_random_state(path):
    """Nothing draws from, or seeds, a generator that all share."""
    assert "random" not in imported(path)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.startswith("np.random."):
            assert called.startswith("np.random.default_rng"), called
        if called in DRAWS:
            assert "generator" in {keyword.arg for keyword in node.keywords}, called
        assert called != "torch.manual_seed"
        assert not called.endswith(("rand_like", "randn_like", "randint_like")), called


def test_parts_are_tested_where_they_live():
    tests = Path(__file__).parent
    for folder in sorted((SRC / "maskwise").iterdir()):
        if (folder / "__init__.py").exists() and folder.name != "recipes":
            assert list((tests / folder.name).glob("test_*.py")), folder.name
