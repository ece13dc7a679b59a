"""The directions of imports between parts of the package, and the parts that may use a library."""

import ast
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rcig_cli"

# Each part may import itself, errors, settings, and the parts listed here.
MAY_IMPORT = {
    "cli": {"runs", "reporting", "presets", "store", "distillation", "data"},
    "api": {"runs", "reporting", "presets", "store", "distillation", "data"},
    "reporting": {"runs", "presets", "distillation", "networks", "data", "store", "privacy", "augmentation"},
    "runs": {
        *("presets", "distillation", "networks", "data", "store", "privacy", "augmentation", "reporting"),
    },
    "presets": {"distillation"},
    "distillation": {"augmentation", "networks"},
    "networks": set(),
    "augmentation": set(),
    "privacy": set(),
    "data": set(),
    "store": set(),
}
ANYONE_IMPORTS = {"errors", "settings", "extensions"}
# Libraries that only some parts use.
HOMES = {
    "zarr": {"store"},
    "tensorflow_datasets": {"data"},
    "tensorflow": {"data"},
    "typer": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"reporting"},
    "jinja2": {"reporting"},
    "pyarrow": {"data"},
    "huggingface_hub": {"data"},
    "torch": {"data"},
    "tensorboardX": {"runs"},
    "wandb": {"runs"},
    "trackio": {"runs"},
}


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_point_down_and_libraries_stay_in_their_part():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        part, tree = part_of(path), ast.parse(path.read_text())
        for name in imported(tree):
            first, *rest = name.split(".")
            allowed = MAY_IMPORT.get(part, set()) | ANYONE_IMPORTS | {part}
            if first == "rcig_cli" and rest and part in MAY_IMPORT and rest[0] not in allowed:
                wrong.append(f"{path} imports {name}")
            if part not in HOMES.get(first, {part}):
                wrong.append(f"{path} imports {name}")
        compiles = any(isinstance(node, ast.Attribute) and node.attr == "jit" for node in ast.walk(tree))
        if compiles and part != "runs":
            wrong.append(f"{path} compiles")
    assert not wrong, "\n".join(wrong)


def test_the_command_reference_and_the_completions_are_what_the_commands_say():
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page()
    assert module.TABLE.read_text() == module.completions()
