"""Reads every import of the package and holds the floors: imports go down only (CONTRIBUTING.md).

Imports inside functions count, those under `if TYPE_CHECKING:` do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxdistill"

FLOORS = {
    7: "main cli evaluate predict export compare doctor prefetch plan demo",
    6: "recipe preparing running planning bench inputs starts origins teachers "
    "gate finished_teacher teaching foresight sketch pretraining augmentation augmenting makers "
    "maskedwords "
    "bilstm_section bilstm_start own_section config command_line sections recipes tuned presets "
    "general general_section",
    5: "trainer intake surroundings",
    4: "scoring precisions runs streaming submission assets inventory teacher_cache report curves",
    3: "methods step chunks checkpoint arrays manifest",
    2: "models data",
    1: "losses gradients adversary strategies optimizer sharding metrics trees "
    "log progress files rowstore preemption allocator network health processes mirror",
    0: "types errors notices __init__",
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}

# Beyond the floors: a room may not import these, whether they lie below it or outside the house.
FORBIDDEN = {
    "trainer": {"methods", "models"},  # it is handed values
    "intake": {"methods", "models"},
    "methods": {"optimizer", "data", "trainer"},
    "data": {"jax", "jaxlib", "models"},
}
NOWHERE = {"torch", "transformers"}
ONLY_IN = {"flax": "models"}
# Not even through the modules a room imports when it is itself imported.
FREE_OF = {"data": {"jax", "jaxlib", "flax", "optax", "orbax"}}


class Import(NamedTuple):
    line: int
    target: str
    """A module of the package by its full name, or the top-level name of somebody else's."""
    lazy: bool
    """Inside a function: runs when that is called, not when the module is imported."""


def room_of(module: str) -> str:
    """The part of a module's name that has a floor: jaxdistill.models.bert -> models."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def names_of(package: Path) -> dict[str, Path]:
    """Every module of the package by its full name; a package stands for its __init__.py."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def statements(tree: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes but those that only a type checker sees, each with whether a function holds it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in (
            "TYPE_CHECKING",
            "typing.TYPE_CHECKING",
        ):
            yield from statements(ast.Module(node.orelse, []), lazy)
            continue
        yield node, lazy
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from statements(node, lazy or inner)


def imports_of(module: str, path: Path, modules: dict[str, Path]) -> list[Import]:
    """What a module imports: statements, and import_module("a constant")."""
    house = next(iter(modules)).split(".")[0]
    found = []

    def add(node: ast.AST, target: str, lazy: bool) -> None:
        parts = target.split(".")
        if parts[0] != house:
            found.append(Import(node.lineno, parts[0], lazy))
            return
        while ".".join(parts) not in modules and len(parts) > 1:  # a name inside a module
            parts.pop()
        found.append(Import(node.lineno, ".".join(parts), lazy))

    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node, lazy in statements(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(node, alias.name, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = node.module
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                add(node, f"{base}.{alias.name}", lazy)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            if ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
                add(node, str(node.args[0].value), lazy)
    return found


def loads(module: str, imports: dict[str, list[Import]]) -> dict[str, str]:
    """What is loaded by importing a module, and by which module: {"jax": "jaxdistill.trees"}."""
    seen: dict[str, str] = {}
    queue = [(module, module)]
    while queue:
        name, by = queue.pop()
        if name in seen:
            continue
        seen[name] = by
        parents = [name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)]
        queue += [(parent, name) for parent in parents if parent in imports]
        queue += [(found.target, name) for found in imports.get(name, []) if not found.lazy]
    return seen


def violations(package: Path) -> list[str]:
    """Every broken rule as one line: where, what, which rule."""
    modules = names_of(package)
    imports = {module: imports_of(module, path, modules) for module, path in modules.items()}
    broken = []
    for module, path in modules.items():
        room = room_of(module)
        if room not in FLOOR:
            broken.append(
                f"{module} has no floor: give it one in tests/test_floors.py (FLOORS) and in "
                "CONTRIBUTING.md's table, as low as what it imports allows"
            )
            continue
        for found in imports[module]:
            where = f"{path.relative_to(package.parent)}:{found.line}"
            inside = found.target in modules
            target = room_of(found.target) if inside else found.target
            if inside and target in FLOOR and FLOOR[target] > FLOOR[room]:
                broken.append(
                    f"{where} (floor {FLOOR[room]}) imports {found.target} "
                    f"(floor {FLOOR[target]}): imports go down only"
                )
            if target in FORBIDDEN.get(room, ()):
                broken.append(f"{where}: {room} may not import {target}")
            if target in NOWHERE:
                broken.append(f"{where}: the package may not import {target}")
            if not inside and ONLY_IN.get(target, room) != room:
                broken.append(f"{where}: only {ONLY_IN[target]} may import {target}")
        for heavy in sorted(FREE_OF.get(room, set()) & set(loads(module, imports))):
            by = loads(module, imports)[heavy]
            if by != module:
                broken.append(f"{module} loads {heavy} through {by}: {room} is to be free of it")
    graph = {
        module: {found.target for found in imports[module] if found.target in modules} - {module}
        for module in modules
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        broken.append("import cycle: " + " <- ".join(error.args[1]))
    return broken


def test_the_package_holds_its_floors():
    assert len(names_of(PACKAGE)) > 2
    broken = violations(PACKAGE)
    assert not broken, "\n" + "\n".join(broken)


def house(root: Path, files: dict[str, str]) -> Path:
    """A made-up package of the given files: {"models/bert.py": source}."""
    package = root / "jaxdistill"
    for name, source in {"__init__.py": "", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return package


GOOD = {
    "types.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch, jax\n",
    "losses.py": "import jax\nfrom jaxdistill.types import Batch\n",
    "models/__init__.py": "from jaxdistill.models.bert import Bert\n",
    "models/bert.py": "import flax.linen as nn\nfrom jaxdistill import __version__, losses\n",
    "data/text.py": "import numpy\nfrom .. import types\ndef f():\n    import datasets\n",
    "trainer.py": "from jaxdistill.scoring import score\n",
    "scoring.py": "from jaxdistill import models\n",
    "main.py": "def main():\n    from jaxdistill import trainer\n",
}


def test_a_sound_house_breaks_nothing(tmp_path):
    assert violations(house(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("losses.py", "import jaxdistill.trainer", "losses.py:1 (floor 1) imports jaxdistill.t"),
        ("losses.py", "def f():\n    from jaxdistill import trainer\n", "losses.py:2 (floor 1)"),
        ("losses.py", "from .models.bert import Bert", "imports jaxdistill.models.bert (floor 2)"),
        ("data/text.py", "from ..trainer import Trainer", "imports jaxdistill.trainer (floor 5)"),
        ("types.py", "if TYPE_CHECKING:\n    pass\nelse:\n    from . import losses", "types.py:4"),
        ("attic.py", "", "jaxdistill.attic has no floor"),
        ("trainer.py", "from jaxdistill.models import bert", "trainer may not import models"),
        ("trainer.py", "import jaxdistill.methods", "trainer may not import methods"),
        ("methods/kd.py", "from jaxdistill import optimizer", "methods may not import optimizer"),
        ("methods/kd.py", "from jaxdistill.data import text", "methods may not import data"),
        ("data/text.py", "def f():\n    import jax.numpy", "data may not import jax"),
        ("data/text.py", "import jaxdistill.losses", "data.text loads jax through jaxdistill.l"),
        ("scoring.py", "def f():\n    import torch", "the package may not import torch"),
        ("scoring.py", "from transformers import AutoModel", "may not import transformers"),
        ("scoring.py", "import importlib\nimportlib.import_module('torch')", "scoring.py:2: the"),
        ("scoring.py", "from flax import struct", "only models may import flax"),
        ("runs.py", "from . import report", "import cycle"),
        ("models/bert.py", "def f():\n    from jaxdistill.models import Bert", "import cycle"),
    ],
)
def test_each_rule_can_fail(tmp_path, name, source, said):
    around = {
        "report.py": "from jaxdistill import runs\n",
        "runs.py": "",
        "optimizer.py": "",
        "methods/__init__.py": "",
        "data/__init__.py": "",
    }
    broken = violations(house(tmp_path, {**GOOD, **around, name: source}))
    assert any(said in line for line in broken), broken
