"""A BiLSTM of 300 by 300: an epoch on rows of SST-2, and forward passes, beside nn.LSTM's.

    python -m benchmarks.bilstm --data GLUE [--rows 20000]

Everyone has the same parameters, batches in length buckets, and Adam. PyTorch reads packed
sequences, which is the same function, or padded ones, which is another: backwards it begins in the
padding. Before anything is timed the losses of the first steps must agree, but for the padded one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Variant, arguments, chosen, interleave, report
from jaxdistill.data.batches import Epoch, Table, batches, make_table
from jaxdistill.data.readers import cap, read_split
from jaxdistill.data.splitters import Splitter
from jaxdistill.data.tasks import find_task
from jaxdistill.data.views import View, Words, build_vocabulary, read_words

BUCKETS = (8, 16, 24, 32, 48, 64)
BATCH = 128
LEARNING_RATE = 1e-3
SIZES = (1, 32, 128)
"""Batches of the forward passes."""
VARIANTS = {
    "jaxdistill": Variant("our_bilstm", tuned=True),
    "jaxdistill together": Variant("our_bilstm", {"together": True}, tuned=True),
    "jaxdistill float32": Variant("our_bilstm", {"precision": "float32"}, tuned=True),
    "PyTorch packed": Variant("torch_bilstm"),
    "PyTorch packed tuned": Variant("torch_bilstm", tuned=True),
    "PyTorch padded": Variant("torch_bilstm", {"packed": False}),
    "PyTorch padded tuned": Variant("torch_bilstm", {"packed": False}, tuned=True),
    "PyTorch padded bfloat16": Variant("torch_bilstm", {"packed": False, "autocast": True}),
}


def write_material(folder: Path, data: str, rows: int) -> int:
    """FOLDER/words.npz: rows of SST-2 in whole words; the size of their vocabulary."""
    examples = cap(read_split(find_task("sst2"), "train", data), rows, 0)
    splitter = Splitter("words", True)
    options = {"size": 0, "least": 1, "given": None, "poll": lambda: None}
    vocabulary = build_vocabulary(examples.texts, splitter, **options)
    view = View(splitter, BUCKETS[-1], vocabulary)
    words = read_words(examples.texts, view, notice=print, poll=lambda: None)
    np.savez(
        folder / "words.npz",
        row=examples.row,
        labels=examples.labels,
        ids=words.ids,
        offsets=words.offsets,
    )
    return len(vocabulary)


def read_material(options: dict[str, Any]) -> Table:
    """The rows as a table."""
    from jaxdistill.data.tables import Examples

    with np.load(Path(options["folder"]) / "words.npz") as file:
        words = Words(file["ids"], file["offsets"], 1)
        return make_table(Examples(file["row"], (), file["labels"]), None, words)


def training_epoch(table: Table) -> Epoch:
    """The batches that everyone trains on."""
    return batches(table, BATCH, buckets=BUCKETS, seed=0, epoch=0, training=True)


def forward_batches(table: Table, size: int, count: int) -> list[Any]:
    """Batches spread over the lengths."""
    epoch = batches(table, size, buckets=BUCKETS, seed=0, epoch=0, training=False)
    return [epoch[int(i)] for i in np.linspace(0, len(epoch) - 1, min(count, len(epoch)))]


def drawn(options: dict[str, Any]) -> tuple[Any, Any]:
    """The shape, and the same parameters for everyone."""
    import jax

    from jaxdistill.models.bilstm import BiLstm, BiLstmShape, initial_bilstm
    from jaxdistill.presets import PLAIN

    fields = {f.name: PLAIN[f.name] for f in dataclasses.fields(BiLstmShape) if f.name in PLAIN}
    shape = BiLstmShape(**fields, vocab=options["vocab"], texts=1, classes=2)
    draw = jax.jit(lambda key: initial_bilstm(BiLstm(shape), key))
    return shape, jax.device_get(draw(jax.random.key(0)))


class _Worker:
    """What both sides do: check, warm and block, over what `_trainer` and `_forward` make."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.table = read_material(options)
        self.epoch = training_epoch(self.table)
        self.steps = min(options["steps"] or len(self.epoch), len(self.epoch))

    def check(self) -> dict[str, Any]:
        """Losses of the first steps in float32, and as timed."""
        first = range(self.options["check_steps"])
        return {name: self._trainer(narrow)(first) for name, narrow in self._checked().items()}

    def warm(self) -> dict[str, float]:
        """Compiles every shape."""
        begun = time.perf_counter()
        self.train = self._trainer(True)
        widths = {self.epoch.width(number): number for number in reversed(range(self.steps))}
        for number in widths.values():
            for _ in range(2):
                self.train(range(number, number + 1))
        self.cells = {
            size: (self._forward(), forward_batches(self.table, size, self.options["passes"]))
            for size in SIZES
        }
        for forward, chosen_batches in self.cells.values():
            for batch in chosen_batches:
                forward(batch)
        return {"first steps, compilation included": time.perf_counter() - begun}

    def block(self) -> dict[str, float]:
        """An epoch or its first steps, and the mean forward pass by batch size."""
        begun = time.perf_counter()
        losses = self.train(range(self.steps))
        seconds = {f"training, {self.steps} steps": time.perf_counter() - begun}
        assert np.isfinite(losses).all()
        for size, (forward, chosen_batches) in self.cells.items():
            begun = time.perf_counter()
            for batch in chosen_batches:
                forward(batch)
            name = f"forward, batch {size}"
            seconds[name] = (time.perf_counter() - begun) / len(chosen_batches)
        return seconds


class Ours(_Worker):
    """Worker: jaxdistill's. Options: precision, together."""

    def threads(self) -> str:
        """Of XLA's pool."""
        return f"{os.cpu_count()} (XLA)"

    def _checked(self) -> dict[str, bool]:
        return {"float32 losses": False, "timed losses": True}

    def _model(self, narrow: bool) -> tuple[Any, Any]:
        from jaxdistill.models.bilstm import BiLstm

        shape, params = drawn(self.options)
        precision = self.options.get("precision", "bfloat16") if narrow else "float32"
        return BiLstm(shape, precision, self.options.get("together", False)), params

    def _trainer(self, narrow: bool) -> Any:
        from benchmarks.ours import make_epoch, plan
        from jaxdistill.methods.finetune import Finetune

        model, params = self._model(narrow)
        given = dataclasses.replace(
            plan(0.0, "float32", BATCH),
            optimizer="adam",
            learning_rate=LEARNING_RATE,
            schedule="constant",
            weight_decay=0.0,
            clip=0.0,
        )
        (stage,) = Finetune().stages(model, None)
        student = {"student": params, "extras": {}}
        run = make_epoch(stage, given, student, {}, len(self.epoch), chunked=True)
        return lambda numbers: run(self.epoch, numbers.start, numbers.stop)

    def _forward(self) -> Any:
        from jaxdistill.scoring import make_forward
        from jaxdistill.sharding import make_mesh, place, split

        model, params = self._model(True)
        mesh = make_mesh()
        forward, params = make_forward(model), place(params, mesh)
        return lambda batch: np.asarray(forward(params, split(batch, mesh)))


class Torch(_Worker):
    """Worker: PyTorch's nn.LSTM. Options: packed, autocast."""

    def __init__(self, options: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(os.cpu_count() or 1)
        super().__init__(options)
        self.packed = options.get("packed", True)

    def threads(self) -> int:
        """PyTorch's."""
        import torch

        return torch.get_num_threads()

    def _checked(self) -> dict[str, bool]:
        if not self.packed:  # another function
            return {}
        return {"float32 losses": False, "timed losses": True}

    def _context(self) -> Any:
        import torch

        on = self.options.get("autocast", False)
        return torch.autocast("cpu", torch.bfloat16) if on else contextlib.nullcontext()

    def _model(self) -> Any:
        import torch
        from torch import nn

        shape, params = drawn(self.options)
        lstm = nn.LSTM(shape.width, shape.hidden, batch_first=True, bidirectional=True)
        net = nn.ModuleDict(
            {
                "word": nn.Embedding(shape.vocab, shape.width),
                "lstm": lstm,
                "dense": nn.Linear(2 * shape.hidden, shape.dense),
                "classifier": nn.Linear(shape.dense, shape.classes),
            }
        )
        with torch.no_grad():
            net["word"].weight.copy_(torch.from_numpy(params["embeddings"]["word"]["embedding"]))
            for part, name in (("input", "ih"), ("hidden", "hh")):
                for k, way in enumerate(("", "_reverse")):
                    kernel, bias = (params["lstm"][part][leaf][k] for leaf in ("kernel", "bias"))
                    getattr(lstm, f"weight_{name}_l0{way}").copy_(torch.from_numpy(kernel.T.copy()))
                    getattr(lstm, f"bias_{name}_l0{way}").copy_(torch.from_numpy(bias))
            for name in ("dense", "classifier"):
                net[name].weight.copy_(torch.from_numpy(params[name]["kernel"].T.copy()))
                net[name].bias.copy_(torch.from_numpy(params[name]["bias"]))
        return net

    def _logits(self, net: Any, batch: Any) -> Any:
        import torch

        words = torch.from_numpy(batch.words[:, 0]).long()
        with self._context():
            x = net["word"](words)
            if self.packed:
                lengths = (words > 0).sum(1)
                pack = torch.nn.utils.rnn.pack_padded_sequence
                x = pack(x, lengths, batch_first=True, enforce_sorted=False)
            last = net["lstm"](x)[1][0]  # [2, B, H]
            return net["classifier"](torch.tanh(net["dense"](torch.cat([last[0], last[1]], -1))))

    def _trainer(self, narrow: bool) -> Any:
        import torch
        from torch.nn import functional as F

        net = self._model()
        optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, eps=1e-8, fused=True)

        def run(numbers: range) -> list[float]:
            losses = []
            for number in numbers:
                batch = self.epoch[number]
                labels = torch.from_numpy(batch.labels).long()
                weight = torch.from_numpy(batch.weight)
                logits = self._logits(net, batch).float()
                each = F.cross_entropy(logits, labels, reduction="none")
                loss = (each * weight).sum() / weight.sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return torch.stack(losses).tolist()

        return run

    def _forward(self) -> Any:
        import torch

        net = self._model().eval()

        def forward(batch: Any) -> np.ndarray:
            with torch.inference_mode():
                return self._logits(net, batch).float().numpy()

        return forward


def main() -> None:
    """Parses the command line, lays the material out, checks, measures."""
    parser = arguments(__doc__, blocks=2, names=list(VARIANTS))
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=0, help="of a block; 0: the whole epoch")
    parser.add_argument("--passes", type=int, default=32, help="forward passes of a block")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.work or temporary)
        setting = {
            "folder": str(folder),
            "vocab": write_material(folder, args.data, args.rows),
            "rows": args.rows,
            "steps": args.steps,
            "passes": args.passes,
            "check_steps": 4,
        }
        measured = interleave(
            chosen(VARIANTS, args.variants),
            setting,
            {"float32 losses": 1e-4, "timed losses": 1e-2},
            processes=args.processes,
            blocks=args.blocks,
            patience=args.patience,
        )
        report(__doc__.splitlines()[0], measured, setting)


if __name__ == "__main__":
    main()
