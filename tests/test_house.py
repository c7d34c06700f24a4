"""Rules of the house: which way imports point, who names whom, how long things are."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

# A room may import rooms of an earlier line only. Rooms of one line do not know each other.
ORDER = [
    ["errors"],
    ["rng", "ties", "checks", "files", "encodings", "labels", "progress"],
    ["textio", "borrowed"],
    ["rows"],
    ["settings"],
    ["words", "arguments", "inspection", "outputs", "given"],
    ["laws"],
    ["masks", "theory"],
    ["diagnostics", "show", "layers", "samples"],
    ["modality"],
    ["objectives", "exports"],
    ["likelihood"],
    ["measure"],
    ["predict"],
    ["report"],
    ["train"],
    ["tokens", "columns", "patches"],
    ["images", "text", "dna", "cells", "tables"],
    ["modalities"],
    ["model_folder"],
    ["predictor"],
    ["questions"],
    ["run", "preparing"],
    ["integrations"],
    ["attaching"],
    ["api", "listing", "testing", "theory_verbs", "question_verbs"],
    ["sharing"],
    ["verbs"],
    ["cli"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
KINDS = ORDER[RANK["images"]]
# Rooms above the kinds that say what they are: which there are, and adapters to others.
MAY_NAME = {"modalities", "integrations", "attaching"}
# The same words where they name something else: an array of samples.npz, an extra of pip.
OTHER_WORDS = {
    "maskwise.report.folder: images",
    "maskwise.report.samples: images",
    "maskwise.tokens.files: text",
}
DRAWS = {
    f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "bernoulli", "normal")
}


@dataclass(frozen=True)
class File:
    """A file of src, parsed once."""

    path: Path

    @cached_property
    def name(self) -> str:
        """As it is imported."""
        return ".".join(self.path.relative_to(SRC).with_suffix("").parts)

    @cached_property
    def room(self) -> str:
        return self.name.split(".")[1]

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text)))

    @cached_property
    def imports(self) -> set[str]:
        """Every module that is imported, wherever in the file."""
        found = set()
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                # `from maskwise import laws` imports maskwise.laws.
                own = node.module == "maskwise"
                names = {f"maskwise.{alias.name}" for alias in node.names}
                found |= names if own else {"." * node.level + (node.module or "")}
        return found

    @cached_property
    def rooms(self) -> set[str]:
        """The other rooms that are imported."""
        own = {module.split(".")[1] for module in self.imports if module.startswith("maskwise.")}
        return own - {self.room, "__version__"}

    @cached_property
    def calls(self) -> list[tuple[str, ast.Call]]:
        return [
            (ast.unparse(node.func), node) for node in self.nodes if isinstance(node, ast.Call)
        ]

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in self.nodes if isinstance(node, kinds)]


@cache
def files() -> list[File]:
    return [File(path) for path in sorted((SRC / "maskwise").rglob("*.py"))]


def inner() -> Iterator[File]:
    """Give the files that belong to a room."""
    return (file for file in files() if file.room != "__init__")


def reached(start: str) -> set[str]:
    """Return what a room imports, through other rooms too."""
    seen: set[str] = set()
    found: set[str] = set()
    waiting = {start}
    while waiting:
        room = waiting.pop()
        seen.add(room)
        for file in inner():
            if file.room == room:
                found |= file.imports
                waiting |= file.rooms - seen
    return found


def roots(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def test_every_room_has_a_place():
    assert {file.room for file in inner()} == RANK.keys()


def test_imports_point_one_way():
    """Siblings do not know each other, and what they share does not know them."""
    wrong = {
        f"{file.name} -> {module}"
        for file in inner()
        for module in file.imports
        if module.startswith((".", "maskwise.")) and not allowed(file.room, module)
    }
    assert wrong == set()


def allowed(room: str, module: str) -> bool:
    there = module.split(".")[1]
    if there in {room, "__version__"}:
        return True
    return there in RANK and RANK[there] < RANK[room]


def test_no_room_names_a_kind_of_data():
    """They know of it what its record says."""
    wrong = {
        f"{file.name}: {node.value}"
        for file in inner()
        if file.room not in {*KINDS, *MAY_NAME}
        for node in file.nodes
        if isinstance(node, ast.Constant) and node.value in KINDS
    }
    assert wrong == OTHER_WORDS


def test_the_package_imports_nothing_by_itself():
    [top] = [file for file in files() if file.room == "__init__"]
    assert top.imports == {"importlib", "typing"}


def test_reports_need_neither_torch_nor_training():
    """Reading run folders is all they do, so that they work where nothing is trained."""
    modules = reached("report")
    assert not roots(modules) & {"torch", "lightning_fabric"}
    assert "safetensors.torch" not in modules
    assert "maskwise.laws" in modules


def test_laws_are_mathematics_only():
    assert roots(reached("laws")) <= {
        *("maskwise", "numpy", "scipy"),
        *("abc", "collections", "dataclasses", "functools", "math", "typing", "re"),
        *("importlib", "types", "contextlib", "contextvars", "json", "shlex"),  # of `errors`
        *("inspect", "typing"),  # of `checks`
    }


def test_theory_and_diagnostics_need_numpy_and_scipy_only():
    """Torch and matplotlib serve a function each, which imports them."""
    first = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
    for file in inner():
        if file.room in ("theory", "diagnostics"):
            assert not {"torch", "matplotlib"} & set(first.findall(file.text)), file.name


def test_files_and_functions_are_short():
    long = {file.name for file in files() if len(file.text.splitlines()) >= 400}
    for file in files():
        for node in file.functions:
            # The explanation does not count, the code does.
            code = node.body[1:] if ast.get_docstring(node) else node.body
            length = node.end_lineno - code[0].lineno + 1 if code else 0
            # The training loop is one function so that it reads from top to bottom.
            if length >= (70 if node.name == "train" else 60):
                long.add(f"{file.name}.{node.name}: {length} lines")
    assert long == set()


def test_what_is_public_is_explained():
    bare = {
        f"{file.name}.{node.name}"
        for file in files()
        for node in ast.iter_child_nodes(file.nodes[0])
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in map(ast.unparse, node.decorator_list)
    }
    assert bare == set()


def test_nothing_stored_is_ever_executed():
    for file in files():
        assert not roots(file.imports) & {"pickle", "dill", "joblib", "marshal", "shelve"}
        for called, node in file.calls:
            assert called not in {"eval", "exec", "torch.save"}, file.name
            if called == "torch.load":  # which reads tensors and plain values only, if told so
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert options.get("weights_only") == "True", f"{file.name}: {ast.unparse(node)}"
            if called in {"np.load", "np.lib.format.read_array"}:
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert options.get("allow_pickle") == "False", f"{file.name}: {ast.unparse(node)}"


def test_no_global_random_state():
    """Nothing draws from, or seeds, a generator that all share.

    But for one file, which lends them to transforms of others and puts them back.
    """
    wrong = []
    for file in files():
        if file.room == "borrowed":
            continue
        if "random" in file.imports:
            wrong.append(f"{file.name} imports random")
        for called, node in file.calls:
            if (
                (
                    called.startswith("np.random.")
                    and not called.startswith("np.random.default_rng")
                )
                or (called in DRAWS and "generator" not in {each.arg for each in node.keywords})
                or called == "torch.manual_seed"
                or called.endswith(("rand_like", "randn_like", "randint_like"))
            ):
                wrong.append(f"{file.name}: {called}")
    assert wrong == []


def test_rooms_are_tested_where_they_live():
    tests = Path(__file__).parent
    for folder in sorted((SRC / "maskwise").iterdir()):
        if (folder / "__init__.py").exists():
            assert list((tests / folder.name).glob("test_*.py")), folder.name
