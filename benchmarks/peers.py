"""PyTorch's side: transformers with bf16 autocast, eager or compiled, on the same batches.

It is given what jaxdistill has: the same length buckets and the same teacher's logits in memory.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    BertForSequenceClassification,
)
from transformers.masking_utils import eager_mask

from benchmarks.material import (
    BUCKETS,
    DROPOUTS,
    LEARNING_RATE,
    epoch_of,
    first_of_each_width,
    inference_batches,
    read_table,
)
from jaxdistill.data.batches import batches
from jaxdistill.types import Batch

torch._dynamo.config.recompile_limit = 64  # a shape per bucket, batch size and model
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def attention_with_scores(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' eager attention, with the scores before mask and softmax beside it."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    masked = scores if attention_mask is None else scores + attention_mask
    weights = F.dropout(F.softmax(masked, dim=-1), p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), scores


AttentionInterface.register("scores", attention_with_scores)
AttentionMaskInterface.register("scores", eager_mask)  # else padding would not be masked


def load(folder: Path, what: str, dropout: float | None = None) -> nn.Module:
    """The classifier; with attention that tells its scores where the loss reads them."""
    rates = {}
    if dropout is not None:
        rates = dict.fromkeys(DROPOUTS, dropout)
    attention = "scores" if what == "intermediate" else None
    model = BertForSequenceClassification.from_pretrained(
        folder, attn_implementation=attention, **rates
    )
    return model.to(DEVICE)


def inputs_of(batch: Batch) -> dict[str, torch.Tensor]:
    """The batch as transformers wants it."""
    found = {
        "input_ids": torch.from_numpy(batch.input_ids),
        "attention_mask": torch.from_numpy(batch.mask).long(),
        "token_type_ids": torch.from_numpy(batch.segments),
    }
    return {k: v.to(DEVICE, torch.long, non_blocking=True) for k, v in found.items()}


def soft_cross_entropy(ours: torch.Tensor, theirs: torch.Tensor, t: float) -> torch.Tensor:
    """[B], float32."""
    targets = F.softmax(theirs.float() / t, -1)
    return -(targets * F.log_softmax(ours.float() / t, -1)).sum(-1)


def intermediate(
    projection: nn.Module, ours: Any, theirs: Any, mask: torch.Tensor, ratio: int
) -> torch.Tensor:
    """TinyBERT's embedding, hidden and attention terms, [B], padding masked."""
    tokens = mask.float()
    count = tokens.sum(-1)
    pairs = (tokens[:, :, None] * tokens[:, None, :])[:, None]
    total = torch.zeros_like(count)
    for layer, state in enumerate(ours.hidden_states):
        error = projection(state).float() - theirs.hidden_states[layer * ratio].float()
        total = total + ((error**2).mean(-1) * tokens).sum(-1) / count
    for layer, scores in enumerate(ours.attentions, 1):
        error = scores.float() - theirs.attentions[layer * ratio - 1].float()
        heads = scores.shape[1]
        total = total + ((error**2) * pairs).sum((1, 2, 3)) / (heads * count**2)
    return total


class Trainer:
    """A student, its loss, and one optimizer step at a time."""

    def __init__(
        self,
        options: dict[str, Any],
        *,
        precision: str,
        dropout: float | None,
        warmup: float,
        steps: int,
        compiled: bool,
        folder: Path,
    ) -> None:
        self.what, self.temperature = options["what"], options["temperature"]
        self.student = load(folder / "student", self.what, dropout).train()
        self.teacher = None
        if self.what == "intermediate" or (self.what == "kd" and not options.get("cache", True)):
            self.teacher = load(folder / "teacher", self.what).eval().requires_grad_(False)
        self.projection = None
        trained = list(self.student.named_parameters())
        if self.what == "intermediate":
            width = self.student.config.hidden_size
            self.projection = nn.Linear(width, width, device=DEVICE)
            with torch.no_grad():
                self.projection.weight.copy_(torch.eye(width))
                self.projection.bias.zero_()
            trained = [(n, p) for n, p in trained if "pooler" not in n and "classifier" not in n]
            trained += list(self.projection.named_parameters())
        still = [p for _, p in trained if p.ndim == 1]  # biases and LayerNorm: no weight decay
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for _, p in trained if p.ndim > 1], "weight_decay": 0.01},
                {"params": still, "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
            eps=1e-8,
            fused=True,
        )
        rising = int(warmup * steps)

        def rate(step: int) -> float:  # get_linear_schedule_with_warmup
            if step < rising:
                return step / max(rising, 1)
            return max(0.0, (steps - step) / max(steps - rising, 1))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
        self.parameters = [p for _, p in trained]
        self.autocast = precision == "bfloat16"
        self.loss = torch.compile(self._loss, dynamic=False) if compiled else self._loss
        self.asked = torch.compile(self._ask, dynamic=False) if compiled else self._ask

    def _context(self) -> Any:
        if not self.autocast:
            return contextlib.nullcontext()
        return torch.autocast(DEVICE, torch.bfloat16)

    def _ask(self, inputs: dict[str, torch.Tensor]) -> Any:
        more = self.what == "intermediate"
        with torch.no_grad(), self._context():
            return self.teacher(**inputs, output_hidden_states=more, output_attentions=more)

    def _loss(
        self, inputs: dict[str, torch.Tensor], weight: torch.Tensor, labels: Any, theirs: Any
    ) -> torch.Tensor:
        more = self.what == "intermediate"
        with self._context():
            ours = self.student(**inputs, output_hidden_states=more, output_attentions=more)
            if self.what == "finetune":
                each = F.cross_entropy(ours.logits.float(), labels, reduction="none")
            elif self.what == "kd":
                each = soft_cross_entropy(ours.logits, theirs, self.temperature)
            else:
                ratio = len(theirs.attentions) // len(ours.attentions)
                mask = inputs["attention_mask"]
                each = intermediate(self.projection, ours, theirs, mask, ratio)
        return (each * weight).sum() / weight.sum()

    def step(self, batch: Batch) -> torch.Tensor:
        """One step; the loss, not waited for."""
        inputs = inputs_of(batch)
        weight = torch.from_numpy(batch.weight).to(DEVICE, non_blocking=True)
        labels = torch.from_numpy(batch.labels).to(DEVICE, torch.long, non_blocking=True)
        theirs = None
        if batch.teacher is not None:
            theirs = torch.from_numpy(batch.teacher.logits).to(DEVICE, non_blocking=True)
        elif self.teacher is not None:
            theirs = self.asked(inputs)
            theirs = theirs.logits if self.what == "kd" else theirs
        loss = self.loss(inputs, weight, labels, theirs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return loss.detach()


class Training:
    """Worker: options as benchmarks.ours.Training, and compile."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(os.cpu_count() or 1)
        self.options = options
        self.folder = Path(options["folder"])
        self.cached = options["what"] == "kd" and options.get("cache", True)
        self.epoch = epoch_of(options, cached=self.cached)
        self.steps = min(options.get("steps") or len(self.epoch), len(self.epoch))

    def threads(self) -> int:
        """PyTorch's."""
        return torch.get_num_threads()

    def _trainer(
        self, precision: str, dropout: float | None, warmup: float, compiled: bool
    ) -> Trainer:
        return Trainer(
            self.options,
            precision=precision,
            dropout=dropout,
            warmup=warmup,
            steps=len(self.epoch),
            compiled=compiled,
            folder=self.folder,
        )

    def _run(self, trainer: Trainer, numbers: Iterable[int]) -> list[float]:
        losses = [trainer.step(self.epoch[number]) for number in numbers]
        return torch.stack(losses).tolist()  # waits for the device

    def check(self) -> dict[str, list[float]]:
        """Losses of the first steps without dropout: in float32, and as timed."""
        first = range(self.options["check_steps"])
        compiled = self.options.get("compile", False)
        timed = self._trainer(self.options["precision"], 0.0, 0.0, compiled)
        return {
            "float32 losses": self._run(self._trainer("float32", 0.0, 0.0, False), first),
            "timed losses": self._run(timed, first),
        }

    def warm(self) -> dict[str, float]:
        """Compiles every shape of the block; builds the cache once, after a first time."""
        compiled = self.options.get("compile", False)
        self.trainer = self._trainer(self.options["precision"], None, 0.1, compiled)
        begun = time.perf_counter()
        firsts = first_of_each_width(self.epoch, self.steps)
        self._run(self.trainer, [number for number in firsts for _ in range(2)])
        once = {"first steps, compilation included": time.perf_counter() - begun}
        if self.cached:
            table = read_table(self.folder)
            model = load(self.folder / "teacher", "kd").eval()
            forward = torch.compile(model, dynamic=False) if compiled else model
            for _ in range(2):
                begun = time.perf_counter()
                with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16):
                    for batch in batches(
                        table, 64, buckets=BUCKETS, seed=0, epoch=0, training=False
                    ):
                        forward(**inputs_of(batch)).logits.float().cpu()
            once["building the teacher's cache"] = time.perf_counter() - begun
        return once

    def block(self) -> dict[str, float]:
        """An epoch, or its first steps."""
        begun = time.perf_counter()
        losses = self._run(self.trainer, range(self.steps))
        seconds = time.perf_counter() - begun
        assert np.isfinite(losses).all()
        return {f"{self.steps} steps": seconds}

    def memory(self) -> dict[str, float]:
        """Most bytes allocated on the card since the process began; {} without one."""
        return {"peak": torch.cuda.max_memory_allocated()} if DEVICE == "cuda" else {}


class Inference:
    """Worker: forward passes of FOLDER/teacher and FOLDER/student at batch 1 and 32."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(os.cpu_count() or 1)
        self.options = options
        self.folder = Path(options["folder"])
        self.table = read_table(self.folder)

    def threads(self) -> int:
        """PyTorch's."""
        return torch.get_num_threads()

    def check(self) -> dict[str, Any]:
        """The logits of 16 rows, in float32 and as timed."""
        found = {}
        for name, on in (("float32", False), ("timed", self.options["precision"] != "float32")):
            for which in ("teacher", "student"):
                model = load(self.folder / which, "kd").eval()
                batch = inference_batches(self.table, 16, 1)[0]
                with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16, enabled=on):
                    logits = model(**inputs_of(batch)).logits.float()
                found[f"{name} logits, {which}"] = logits.tolist()
        return found

    def warm(self) -> dict[str, float]:
        """Compiles every shape."""
        self.cells = {}
        for which in ("teacher", "student"):
            model = load(self.folder / which, "kd").eval()
            for size in (1, 32):
                forward = copy.deepcopy(model)
                if self.options.get("compile", False):
                    forward = torch.compile(forward, dynamic=False)
                chosen = inference_batches(self.table, size, self.options["passes"])
                self.cells[f"{which}, batch {size}"] = (forward, chosen)
        self.block()
        return {}

    def block(self) -> dict[str, float]:
        """Seconds per forward pass, by cell: the mean over batches spread over dev."""
        seconds = {}
        on = self.options["precision"] != "float32"
        for cell, (forward, chosen) in self.cells.items():
            begun = time.perf_counter()
            with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16, enabled=on):
                for batch in chosen:
                    forward(**inputs_of(batch)).logits.float().cpu()
            seconds[cell] = (time.perf_counter() - begun) / len(chosen)
        return seconds
