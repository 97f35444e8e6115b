"""What the programs share: child processes that take turns, medians, a table and one JSON line.

A program names variants. Each runs in a child process of its own (benchmarks/worker.py), so that
each has the environment that it is said to have. All children of a round live at once but only one
works at a time: it is asked for one block, then the next child is. So whatever else the machine
does hits all of them. A round is repeated with fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from jaxdistill.allocator import TUNABLES

NO_DIFFERENCE = 1.15
"""Ratios of medians up to this, or down to its inverse, are called no difference."""


@dataclass(frozen=True)
class Variant:
    """One of the things compared."""

    kind: str
    """A key of benchmarks.worker.KINDS."""
    options: Mapping[str, Any] = field(default_factory=dict)
    tuned: bool = False
    """Whether the child runs with jaxdistill.allocator's GLIBC_TUNABLES, as every verb of
    jaxdistill gives itself."""


class Child:
    """A worker process, asked for one thing at a time."""

    def __init__(self, name: str, variant: Variant, setting: Mapping[str, Any]) -> None:
        self.name = name
        folder = Path(setting["folder"])
        self.log = folder / f"{name.replace(' ', '_')}.log"
        environment = dict(os.environ)
        environment.pop("GLIBC_TUNABLES", None)
        environment["JAX_COMPILATION_CACHE_DIR"] = str(folder / "xla")
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # others use the same card
        environment["TOKENIZERS_PARALLELISM"] = "true"
        if variant.tuned:
            environment["GLIBC_TUNABLES"] = TUNABLES
        options = {**setting, **variant.options, "kind": variant.kind}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )

    def ask(self, what: str, *arguments: Any) -> Any:
        """The worker's answer; raises with the end of its log where there is none."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps([what, *arguments]) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"{self.name} died at {what}:\n{self.log.read_text()[-3000:]}")
        return json.loads(answer)

    def close(self) -> None:
        """Ends the worker."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass
class Measured:
    """What interleave found."""

    seconds: dict[str, dict[str, list[float]]]
    """By cell and variant, one number per block."""
    answers: dict[str, Any]
    """What each variant said to "check", in the first round."""
    once: dict[str, dict[str, list[float]]]
    """By name and variant, one number per process: what "warm" reports."""
    loads: list[float]
    """Load averages over the last minute, one per block."""
    others: list[float]
    """Shares of the processors that others kept busy just before each block, 0 to 1."""
    threads: dict[str, Any]


def interleave(
    variants: Mapping[str, Variant],
    setting: Mapping[str, Any],
    tolerances: Mapping[str, float],
    *,
    processes: int,
    blocks: int,
    patience: float,
) -> Measured:
    """Checks that all variants compute the same, then measures blocks of each in turn.

    Args:
      setting: handed to every worker; "folder" is where it finds its material and logs go.
      tolerances: by name of an answer to "check", how far the variants may be apart (absolute).
      processes: rounds, each with fresh processes.
      blocks: of each variant in a round.
      patience: seconds to wait before a block for others to leave the processors alone. PyTorch's
        threads wait for each other after every operation and suffer more from a busy neighbour than
        XLA's: a table taken beside other work flatters us.
    """
    result = Measured(defaultdict(dict), {}, defaultdict(dict), [], [], {})
    for number in range(processes):
        children = []
        try:
            for name, variant in variants.items():
                children.append(Child(name, variant, setting))
                result.threads[name] = children[-1].ask("threads")
            if number == 0:
                for child in children:
                    say(f"check {child.name}")
                    result.answers[child.name] = child.ask("check")
                compare(result.answers, tolerances)
            for child in children:
                say(f"warm {child.name}")
                for name, value in child.ask("warm").items():
                    result.once[name].setdefault(child.name, []).append(value)
            for block in range(blocks):
                turn = (block + number) % len(children)
                for child in children[turn:] + children[:turn]:
                    result.loads.append(os.getloadavg()[0])
                    result.others.append(wait_for_quiet(patience))
                    for cell, seconds in child.ask("block").items():
                        result.seconds[cell].setdefault(child.name, []).append(seconds)
                    say(f"round {number + 1}/{processes} block {block + 1}/{blocks} {child.name}")
        finally:
            for child in children:
                child.close()
    return result


def busy(seconds: float = 0.25) -> float:
    """The share of all processors in use, 0 to 1; 0 where the system does not say."""
    if not Path("/proc/stat").exists():
        return 0.0

    def ticks() -> np.ndarray:
        return np.array(Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9], float)

    before = ticks()
    time.sleep(seconds)
    spent = ticks() - before
    return float(1 - (spent[3] + spent[4]) / max(spent.sum(), 1.0))  # idle, waiting for a disk


def wait_for_quiet(patience: float, limit: float = 0.1) -> float:
    """Waits until less than `limit` is in use, at most `patience` seconds; the last share seen."""
    end = time.monotonic() + patience
    while (share := busy()) > limit and time.monotonic() < end:
        time.sleep(1)
    return share


def compare(answers: Mapping[str, Mapping[str, Any]], tolerances: Mapping[str, float]) -> None:
    """Asserts that what the variants computed agrees, and prints how far."""
    for what, tolerance in tolerances.items():
        values = {name: np.array(given[what]) for name, given in answers.items() if what in given}
        if len(values) < 2:
            continue
        reference = next(iter(values))
        for name, found in values.items():
            difference = float(np.abs(found - values[reference]).max())
            print(f"check {what}: {name} differs from {reference} by {difference:.1e}", flush=True)
            assert difference <= tolerance, (what, name, found, values[reference])


def report(title: str, measured: Measured, setting: Mapping[str, Any]) -> None:
    """Prints machine, a table of medians per cell, and all of it as one JSON line."""
    loads = [round(float(x), 2) for x in np.percentile(measured.loads or [0.0], [0, 50, 100])]
    print(f"\n{title}\n{machine()}; load {loads[0]} to {loads[2]}, median {loads[1]}")
    if measured.threads:
        print("threads " + ", ".join(f"{name}: {n}" for name, n in measured.threads.items()))
    if measured.others:
        low, high = np.percentile(measured.others, [50, 100])
        print(f"in use by others before a block: median {low:.0%}, at most {high:.0%}")
    tables = {**measured.seconds, **{f"{k} (once)": v for k, v in measured.once.items()}}
    medians = {}
    for cell, by_variant in tables.items():
        width = max(map(len, by_variant))
        reference = float(np.median(next(iter(by_variant.values()))))
        unit, label = (1e-3, "ms") if reference < 1 else (1.0, "s")
        print(f"\n{cell}\n{'':{width}s}  median {label:2s}    IQR    n   times the first's time")
        for name, seconds in by_variant.items():
            low, median, high = np.percentile(seconds, [25, 50, 75])
            medians.setdefault(cell, {})[name] = float(median)
            print(
                f"{name:{width}s} {median / unit:10.2f} {(high - low) / unit:7.2f} "
                f"{len(seconds):4d}   {verdict(median / reference)}"
            )
    everything = {
        "title": title,
        "machine": machine(),
        "loads": loads,
        "others": [round(share, 3) for share in measured.others],
        "setting": {k: v for k, v in setting.items() if k != "folder"},
        "median": medians,
        "seconds": tables,
        "check": measured.answers,
    }
    print("\n" + json.dumps(everything))


def verdict(ratio: float) -> str:
    """The ratio, and whether it is one."""
    same = 1 / NO_DIFFERENCE < ratio < NO_DIFFERENCE
    return f"{ratio:.2f}{' (no difference)' if same and ratio != 1.0 else ''}"


def machine() -> str:
    """The machine and the versions, in words."""
    found = []
    for name in ("jax", "torch", "transformers"):
        try:
            found.append(f"{name} {version(name)}")
        except ModuleNotFoundError:
            continue
    return f"{platform.machine()}, {os.cpu_count()} cores, {', '.join(found)}"


def say(text: str) -> None:
    """What goes on, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def arguments(text: str, *, blocks: int, names: Sequence[str]) -> argparse.ArgumentParser:
    """What every comparing program asks for."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--processes", type=int, default=3, help="rounds of fresh processes")
    parser.add_argument("--blocks", type=int, default=blocks, help="of each variant in a round")
    parser.add_argument("--variants", default=",".join(names), help="of: " + ", ".join(names))
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for quiet")
    parser.add_argument("--work", help="an empty folder; else a temporary one")
    return parser


def chosen(variants: Mapping[str, Variant], names: str) -> dict[str, Variant]:
    """The variants named, in the order of the table."""
    wanted = [name.strip() for name in names.split(",")]
    unknown = sorted(set(wanted) - set(variants))
    if unknown:
        raise SystemExit(f"unknown variants {unknown}; there are {list(variants)}")
    return {name: variant for name, variant in variants.items() if name in wanted}
