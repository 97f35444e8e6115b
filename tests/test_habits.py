"""The project's habits, held by its own test command: lint, types, shell, versions, what ships."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command: str) -> None:
    """Runs a tool in the repository's root; its complaints are the failure's text."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n" + (done.stdout + done.stderr)[-6000:]


def need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module} (extra: test)")


def test_ruff_check():
    need("ruff")
    run(sys.executable, "-m", "ruff", "check", "--quiet")


def test_ruff_format():
    need("ruff")
    run(sys.executable, "-m", "ruff", "format", "--check", "--quiet", "--diff")


def test_mypy():
    need("mypy")
    run(sys.executable, "-m", "mypy")


def test_shellcheck():
    beside = Path(sys.executable).parent / "shellcheck"  # the environment need not be activated
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("needs shellcheck (extra: test)")
    run(shellcheck, ".ci/run", *map(str, sorted((ROOT / "launch").glob("*.sh"))))


def constraints() -> dict[str, set[str]]:
    """Name -> the exact versions that constraints.txt gives it, two where markers differ."""
    versions: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        parts = re.fullmatch(r'([\w.-]+)==([\w.]+)(?:; python_version (?:<|>=) "3\.12")?', line)
        assert parts, f"constraints.txt holds names and exact versions only, not: {line}"
        versions.setdefault(normal(parts[1]), set()).add(parts[2])
    return versions


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_lower_bounds_are_versions_that_were_tested():
    pinned = constraints()
    extras = PROJECT["optional-dependencies"]
    bounds = [*PROJECT["dependencies"], *extras["test"], *extras["zh"]]
    for name, bound in (requirement.split(">=") for requirement in bounds):
        assert normal(name) in pinned, f"constraints.txt lacks {name}"
        lowest = min(map(number, pinned[normal(name)]))
        assert number(bound) <= lowest, f"{name}>={bound} but constraints.txt has {lowest}"


def test_torch_and_transformers_are_no_dependencies():
    names = {normal(requirement.split(">=")[0]) for requirement in PROJECT["dependencies"]}
    assert not names & {"torch", "transformers"}


def test_the_wheel_ships_recipes_types_and_licence(tmp_path):
    need("hatchling")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("jaxdistill-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"jaxdistill/{path.relative_to(ROOT)}" for path in ROOT.glob("configs/*.py")}
    code = {str(path.relative_to(ROOT)) for path in ROOT.glob("jaxdistill/**/*.py")}
    assert shipped
    assert shipped | code | {"jaxdistill/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_importing_the_package_loads_nothing():
    heavy = "{'jax', 'flax', 'numpy', 'torch', 'datasets'}"
    run(sys.executable, "-c", f"import jaxdistill, sys; assert not {heavy} & set(sys.modules)")


def test_rank_promotion_is_an_error():
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(ValueError, match="jax_numpy_rank_promotion"):
        jnp.ones([2, 3]) + jnp.ones([3])
