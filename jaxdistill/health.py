"""What this machine has for a run: packages, devices, memory, disk, the hub. No jax, no NumPy here.

Devices are asked in a process of its own, because a driver that does not fit may end the process or
never answer.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage
from typing import Literal, NamedTuple

from jaxdistill.files import cache_folder, folder_bytes
from jaxdistill.network import endpoint, unreachable

PLATFORMS = "JAX_PLATFORMS"
PATIENCE = 120
"""Seconds for JAX to name its devices; a TPU's first time takes most of a minute."""
OPTIONAL = {
    "jieba": "Chinese words: pip install 'jieba>=0.42.1'",
    "torch": "tests compare with it",
    "transformers": "tests compare with it",
}

_PROBE = """
import json, sys
try:
    import jax
    devices = jax.devices()
    assert float(jax.numpy.ones((8, 8)).sum()) == 64, "a sum on the device is wrong"
    limits = [(d.memory_stats() or {}).get("bytes_limit", 0) for d in devices]
    print(json.dumps([jax.default_backend(), devices[0].device_kind, len(devices), sum(limits)]))
except Exception as error:  # with notes of jax's after its message
    first = (str(error).splitlines() or [""])[0]
    sys.exit(f"{type(error).__name__}: {first}")
"""


class Finding(NamedTuple):
    """One thing that was looked at."""

    about: str
    """versions, devices, memory, disk, data, sources, hub."""
    state: Literal["ok", "note", "missing"]
    """note: some runs need it; missing: no run goes without, the quickstart neither."""
    text: str
    remedy: str = ""
    """A command, or what else to do about it."""


def versions() -> list[Finding]:
    """The Python and every package that is needed, against the lowest versions that were tested."""
    found = [f"python {platform.python_version()}", f"jaxlib {_version('jaxlib')}"]
    wrong = []
    for name, lowest in requirements().items():
        version = _version(name)
        found.append(f"{name} {version or 'is not installed'}")
        if version is None or _number(version) < _number(lowest):
            wrong.append(f"{name}>={lowest}")
    state: Literal["ok", "missing"] = "missing" if wrong else "ok"
    remedy = f"pip install {' '.join(repr(what) for what in wrong)}" if wrong else ""
    findings = [Finding("versions", state, ", ".join(found), remedy)]
    for name, what in OPTIONAL.items():
        version = _version(name)
        findings.append(
            Finding("versions", "ok", f"{name} {version or 'absent'}, not needed ({what})")
        )
    return findings


def requirements() -> dict[str, str]:
    """Package -> lowest version: of pyproject.toml, or as it was installed."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        lines = tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    else:
        lines = metadata.requires("jaxdistill") or []
    parts = (re.fullmatch(r"([\w.-]+)>=([\w.]+)", line) for line in lines)
    return {part[1]: part[2] for part in parts if part}  # those of extras have a marker


def devices() -> list[Finding]:
    """What JAX computes on, tried with a sum."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"JAX has not named its devices within {PATIENCE} s"
        return [Finding("devices", "missing", text, "set JAX_PLATFORMS=cpu, or free the device")]
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1].strip() if lines else f"it ended with {done.returncode}"
        text = f"JAX finds no device that works: {why}"
        remedy = "set JAX_PLATFORMS=cpu, or mend the installation: pip install --upgrade jax"
        return [Finding("devices", "missing", text, remedy)]
    backend, kind, count, limit = json.loads(done.stdout.splitlines()[-1])
    room = f", {_size(limit)} in all" if limit else ""
    found = [Finding("devices", "ok", f"{count} x {kind} ({backend}){room}")]
    if backend == "cpu" and Path("/dev/nvidia0").exists():
        text, asked = "there is an NVIDIA GPU, and JAX does not use it", os.environ.get(PLATFORMS)
        plugins = [name for name in ("jax_cuda13_plugin", "jax_cuda12_plugin") if find_spec(name)]
        remedy = "pip install 'jax[cuda13]'"
        if asked:
            remedy = f"unset {PLATFORMS}, which says {asked}"
        elif plugins:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            text += f" although {plugins[0]} is installed" + (f": {lines[-1]}" if lines else "")
            remedy = (
                "look at the driver with nvidia-smi: 'jax[cuda13]' wants version 580 or later, "
                "'jax[cuda12]' 525"
            )
        found.append(Finding("devices", "note", text, remedy))
    return found


def memory() -> list[Finding]:
    """The machine's memory and processors, and what this process may have of them."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = [f"{_size(total)} of memory"]
    described = Path("/proc/meminfo")
    free = re.search(r"MemAvailable: +(\d+)", described.read_text()) if described.exists() else None
    if free:
        text.append(f"{_size(1024 * int(free[1]))} free")
    limit = _limit()
    if limit is not None and limit < total:
        text.append(f"a limit of {_size(limit)} on this process' group")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text.append(f"{usable} of {os.cpu_count()} processors")
    return [Finding("memory", "ok", ", ".join(text))]


def disk() -> list[Finding]:
    """The folder of caches, what is in it, and whether it and this folder can be written."""
    findings = []
    for name, folder in (("caches", cache_folder()), ("this folder", Path.cwd())):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        text = f"{name} {folder}: {_size(disk_usage(there).free)} free"
        if name == "caches":
            kept = sorted(path for path in folder.glob("*") if path.is_dir())
            text += "".join(f", {path.name} {_size(folder_bytes(path))}" for path in kept)
        if os.access(there, os.W_OK | os.X_OK):
            findings.append(Finding("disk", "ok", text))
            continue
        remedy = "set JAXDISTILL_CACHE to a folder" if name == "caches" else "work in a folder"
        findings.append(
            Finding("disk", "missing", f"{text}; not writable", f"{remedy} that you may write")
        )
    return findings


def hub(offline: bool) -> list[Finding]:
    """Whether the hub answers; offline: it is not asked."""
    if offline:
        return [Finding("hub", "ok", "not asked (--offline)")]
    why = unreachable()
    if not why:
        return [Finding("hub", "ok", f"{endpoint()} answers")]
    text = f"not reached, so that data and checkpoints must be folders: {why}"
    remedy = "where there is a network, and carry the folder here: python -m jaxdistill.prefetch "
    return [Finding("hub", "note", text, f"{remedy}--task all --output assets; or set HF_ENDPOINT")]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _number(version: str) -> tuple[int, ...]:
    """For comparing: 0.12.8rc1 counts as 0.12.8."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()


def _limit() -> int | None:
    """What the control group allows in bytes, None without one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, version 1
        path = Path("/sys/fs/cgroup", name)
        if path.is_file() and path.read_text().strip().isdigit():
            return int(path.read_text())
    return None


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
