"""Importing costs nothing that is not used."""

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import maskwise", {"torch", "matplotlib", "sklearn", "numpy", "scipy", "pydantic"}),
        ("from maskwise import UserError", {"torch", "matplotlib", "sklearn", "numpy"}),
        ("import maskwise.laws", {"torch", "matplotlib", "sklearn", "pydantic"}),
        (
            "import maskwise; maskwise.laws.parse('truncnormal:0.5,0.1').mean()",
            {"torch", "matplotlib", "sklearn"},
        ),
        ("import maskwise.masks", {"matplotlib", "sklearn", "PIL", "datasets"}),
    ],
)
def test_imports_are_light(statement: str, forbidden: set[str]) -> None:
    loaded = loaded_by(statement)
    assert "maskwise" in loaded
    assert not loaded & forbidden
