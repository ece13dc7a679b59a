"""The rules of the house: who may import whom, where a library may appear, and docs that are up to date."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rcig_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each part may import of the others; errors are everybody's.
MAY_IMPORT = {
    "cli": {"cli", "jobs", "presets", "store"},
    "jobs": {"jobs", "presets", "distillation", "networks", "data", "store", "figures", "privacy"},
    "presets": {"presets", "distillation"},
    "distillation": {"distillation"},
    "networks": {"networks"},
    "data": {"data"},
    "store": {"store"},
    "figures": {"figures"},
    "privacy": {"privacy"},
}
# Libraries with one home.
HOMES = {
    "zarr": {"store"},
    "orbax": {"store"},
    "tensorflow_datasets": {"data"},
    "tensorflow": {"data"},
    "typer": {"cli"},
    "rich": {"cli"},
    "sklearn": {"data", "privacy"},
    "matplotlib": {"figures"},
    "msgpack": {"data"},
    "pyarrow": {"data"},
    "safetensors": {"data"},
    "torch": {"data"},
}


def part(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else ""


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_list(path):
    if not part(path):
        return
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] == "rcig_cli" and len(pieces) > 1 and pieces[1] != "errors":
            assert pieces[1] in MAY_IMPORT[part(path)], f"{path} imports {name}"
        if pieces[0] in HOMES:
            assert part(path) in HOMES[pieces[0]], f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_jobs_compile(path):
    for node in ast.walk(ast.parse(path.read_text())):
        named = isinstance(node, ast.Attribute) and node.attr == "jit"
        assert not named or part(path) == "jobs", f"{path}:{node.lineno} compiles"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    assert path.stem != "utils"
    if part(path) == "cli":
        return  # a command's options are its parameters
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            own = node.end_lineno - node.lineno + 1
            assert own <= 60 or node.name == "make_step", f"{path}:{node.lineno} {node.name} has {own} lines"


def test_the_command_reference_is_what_the_commands_say():
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page()
