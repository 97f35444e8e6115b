"""What an accelerator does: (a) to (d) on drawn rows, MFU, peak memory and a profile.

    python -m benchmarks.device          # also with $OUT set: a profile and the JSON go there

Needs no data and no checkpoint. Beside jaxdistill it measures transformers with autocast and
torch.compile on the same card, where there is a torch that can use it. MFU counts the model's own
products by formula, training as three forward passes, over the card's dense bfloat16 peak by its
data sheet; for a card that is not in the table it is not stated, only the share of a large product
measured here. On a CPU sizes are cut down, and only show that the program runs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Child, Variant, compare, machine, say
from benchmarks.material import drawn_model, drawn_rows, teacher_logits

PEAKS = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v6 lite": 918e12,
}
"""Dense bfloat16 operations per second, by jax's device_kind; from the makers' data sheets."""
BERT = {"layers": 12, "width": 768, "heads": 12, "inner": 3072, "vocab": 30522}
SIX = {**BERT, "layers": 6}
TINY = {"layers": 4, "width": 312, "heads": 12, "inner": 1200, "vocab": 30522}
LITTLE = {"layers": 2, "width": 64, "heads": 4, "inner": 256, "vocab": 1000}

Shape = Mapping[str, int]


def forward(shape: Shape, length: int) -> float:
    """Operations of one example's products: projections, feed-forward, scores and context."""
    width, inner = shape["width"], shape["inner"]
    dense = 2 * length * (4 * width**2 + 2 * width * inner)
    return float(shape["layers"] * (dense + 4 * length**2 * width))


def operations(what: str, student: Shape, teacher: Shape, length: int, *, cached: bool) -> float:
    """Of one example's training step."""
    total = 3 * forward(student, length)
    if what == "intermediate":
        states = student["layers"] + 1
        total += 3 * 2 * states * length * student["width"] * teacher["width"]
    if what != "finetune" and not cached:
        total += forward(teacher, length)
    return total


def main() -> None:
    """Parses the command line and measures one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=7.5, help="begin no part after these")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--parts", default="c,a,b,d", help="in this order")
    args = parser.parse_args()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the children use the same card
    import jax

    begun = time.monotonic()
    big = jax.default_backend() != "cpu"
    kind = jax.devices()[0].device_kind
    peers = find_spec("transformers") is not None and torch_sees_it(big)
    out = os.environ.get("OUT")
    print(f"{kind}, {machine()}; PyTorch beside it: {peers}", flush=True)
    found: list[dict[str, Any]] = []
    for name, setting, student, teacher in parts(big, args.parts.split(",")):
        if time.monotonic() - begun > 60 * args.minutes:
            print(f"{name}: left out, {args.minutes} minutes have passed")
            continue
        say(name)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            drawn_model(folder / "student", **student)
            drawn_model(folder / "teacher", **teacher)
            count = setting.get("batch", 32) * setting.get("steps", 4)
            table = drawn_rows(folder, count, setting["length"], student["vocab"])
            if setting.get("what") == "kd":
                teacher_logits(folder, table)
            setting = {**setting, "folder": temporary}
            if "what" in setting:
                found += training(name, setting, student, teacher, peers, args.blocks, out)
            else:
                found += inference(name, setting, peers, args.blocks)
    if out:
        (Path(out) / "device.json").write_text(json.dumps(found))
    print("\n" + json.dumps(found))


def torch_sees_it(big: bool) -> bool:
    """Whether a torch is there that can use the same device."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available() if big else True


def parts(big: bool, wanted: list[str]) -> list[tuple[str, dict[str, Any], Shape, Shape]]:
    """(name, setting, student, teacher) of what is measured."""
    common = {"temperature": 8.0, "precision": "bfloat16", "check_steps": 1}
    if not big:
        small = {**common, "length": 32, "batch": 8, "steps": 4}
        table = {
            "a": [("(a) KD", {**small, "what": "kd"}, LITTLE, LITTLE)],
            "b": [("(b) intermediate", {**small, "what": "intermediate"}, LITTLE, LITTLE)],
            "c": [("(c) fine-tuning", {**small, "what": "finetune"}, LITTLE, LITTLE)],
            "d": [("(d) inference", {**small, "passes": 4}, LITTLE, LITTLE)],
        }
        del table["d"][0][1]["steps"]
    else:
        large = {**common, "length": 128, "batch": 128, "steps": 40}
        table = {
            "a": [("(a) KD, 12x768 to 6x768", {**large, "what": "kd"}, SIX, BERT)],
            "b": [("(b) TinyBERT, 12x768 to 4x312", {**large, "what": "intermediate"}, TINY, BERT)],
            "c": [
                (f"(c) 12x768, batch {n}", {**large, "what": "finetune", "batch": n}, BERT, LITTLE)
                for n in (32, 128)
            ],
            "d": [("(d) inference", {**common, "length": 128, "passes": 40}, TINY, BERT)],
        }
    return [part for letter in wanted for part in table[letter]]


def training(
    name: str,
    setting: dict[str, Any],
    student: Shape,
    teacher: Shape,
    peers: bool,
    blocks: int,
    out: str | None,
) -> list[dict[str, Any]]:
    """Rows of a part that trains."""
    variants = {"jaxdistill": (Variant("ours", tuned=True), True)}
    variants["jaxdistill, one step per dispatch"] = (Variant("ours", {"chunked": False}), True)
    if setting["what"] == "kd":
        online = Variant("ours", {"cache": False}, tuned=True)
        variants["jaxdistill, no cache"] = (online, False)
    if peers:
        variants["PyTorch compile"] = (Variant("torch", {"compile": True}, tuned=True), True)
    rows, answers, seconds = [], {}, {}
    children = {n: Child(n, variant, setting) for n, (variant, _) in variants.items()}
    try:
        answers = {n: child.ask("check") for n, child in children.items()}
        compare(answers, {"float32 losses": 3e-2, "timed losses": 0.1})
        for child in children.values():
            child.ask("warm")
        for _ in range(blocks):
            for n, child in children.items():
                seconds.setdefault(n, []).extend(child.ask("block").values())
        ours = children["jaxdistill"]
        kind, size = ours.ask("device"), 8192 if setting["batch"] > 8 else 1024
        peak, ceiling = PEAKS.get(kind), ours.ask("ceiling", size)
        for n, (_, cached) in variants.items():
            step = np.array(seconds[n]) / setting["steps"]
            each = operations(setting["what"], student, teacher, setting["length"], cached=cached)
            rate = each * setting["batch"] / float(np.median(step))
            row = {"part": name, "variant": n, "ms a step": float(np.median(step)) * 1e3}
            row["IQR"] = float(np.subtract(*np.percentile(step, [75, 25]))) * 1e3
            row["examples/s"] = setting["batch"] / float(np.median(step))
            row["MFU"] = rate / peak if peak else None
            row["of a measured product"] = rate / ceiling
            row |= {k: v / 2**20 for k, v in children[n].ask("memory").items()}
            rows.append(row)
            print(describe(row), flush=True)
        if out:
            ours.ask("profile", str(Path(out) / f"profile-{setting['what']}-{setting['batch']}"))
    finally:
        for child in children.values():
            child.close()
    return rows


def inference(name: str, setting: dict[str, Any], peers: bool, blocks: int) -> list[dict[str, Any]]:
    """Rows of the part that does not train."""
    variants = {"jaxdistill": Variant("our_inference", tuned=True)}
    if peers:
        variants["PyTorch compile"] = Variant("torch_inference", {"compile": True}, tuned=True)
    children = {n: Child(n, variant, setting) for n, variant in variants.items()}
    seconds: dict[tuple[str, str], list[float]] = {}
    try:
        answers = {n: child.ask("check") for n, child in children.items()}
        compare(answers, {f"timed logits, {which}": 0.1 for which in ("teacher", "student")})
        for child in children.values():
            child.ask("warm")
        for _ in range(blocks):
            for n, child in children.items():
                for cell, value in child.ask("block").items():
                    seconds.setdefault((cell, n), []).append(value)
    finally:
        for child in children.values():
            child.close()
    rows = []
    for (cell, n), values in sorted(seconds.items()):
        median = float(np.median(values)) * 1e3
        rows.append({"part": f"{name}, {cell}", "variant": n, "ms a pass": median})
        rows[-1]["IQR"] = float(np.subtract(*np.percentile(values, [75, 25]))) * 1e3
        print(describe(rows[-1]), flush=True)
    return rows


def describe(row: Mapping[str, Any]) -> str:
    """A row in words."""
    shares = ("MFU", "of a measured product")
    numbers = [
        f"{key} {'not stated' if v is None else f'{v:.3g}' if key in shares else f'{v:,.2f}'}"
        for key, v in row.items()
        if key not in ("part", "variant")
    ]
    return f"{row['part']} | {row['variant']}: {', '.join(numbers)}"


if __name__ == "__main__":
    main()
