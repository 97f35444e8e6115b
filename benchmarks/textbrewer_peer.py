"""TextBrewer as its README and its SST-2 notebook use it; the published package, unchanged.

    pip install --no-deps --target FOLDER textbrewer==0.2.1.post1      # then --textbrewer FOLDER

Texts padded to 128, a DataLoader over shuffled rows of batch 32, the teacher run in every step,
float32, GeneralDistiller, AdamW with transformers' linear schedule, logging and the checkpoint at
the end of the epoch as by default. Where this departs from the notebook it is quicker: the
intermediate matches, labels and hidden states are left out, since the others do not have them,
batches are sliced by collate from tensors, and AdamW is PyTorch's fused one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup

from benchmarks.material import BATCH, DROPOUTS, LEARNING_RATE, epoch_of, places, read_table
from jaxdistill.data.batches import Table

LENGTH = 128


class Rows(Dataset):
    """Padded rows as the notebook's data set gives them, from tensors made once."""

    def __init__(self, table: Table) -> None:
        lengths = np.diff(table.offsets)
        at = np.arange(LENGTH)
        mask = at < lengths[:, None]
        ids = table.ids[np.where(mask, table.offsets[:-1, None] + at, 0)]
        self.columns = {
            "input_ids": torch.from_numpy(np.where(mask, ids, 0)).long(),
            "token_type_ids": torch.zeros(mask.shape, dtype=torch.long),
            "attention_mask": torch.from_numpy(mask).long(),
        }

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: column[index] for name, column in self.columns.items()}


class Losses:
    """Stands for TextBrewer's TensorBoard writer."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Keeps the total loss of every step."""
        if name == "scalar/total_loss":
            self.values.append(value)


class Training:
    """Worker: options textbrewer (a folder), steps (of a block; 0: the whole epoch)."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(os.cpu_count() or 1)
        sys.path.append(options["textbrewer"])
        self.options = options
        self.folder = Path(options["folder"])
        self.table = read_table(self.folder)
        self.rows = Rows(self.table)
        self.steps = -(-len(self.rows) // BATCH)

    def threads(self) -> int:
        """PyTorch's."""
        return torch.get_num_threads()

    def _distiller(self, dropout: float | None, output: str) -> Any:
        with warnings.catch_warnings():  # "is not" with a literal, in its configurations.py
            warnings.simplefilter("ignore")
            from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
        rates = {}
        if dropout is not None:
            rates = dict.fromkeys(DROPOUTS, dropout)
        teacher = BertForSequenceClassification.from_pretrained(self.folder / "teacher")
        student = BertForSequenceClassification.from_pretrained(self.folder / "student", **rates)

        def simple_adaptor(batch: Any, outputs: Any) -> dict[str, Any]:
            return {"logits": outputs.logits}

        return GeneralDistiller(
            train_config=TrainingConfig(output_dir=output, device="cpu"),
            distill_config=DistillationConfig(temperature=self.options["temperature"]),
            model_T=teacher,
            model_S=student,
            adaptor_T=simple_adaptor,
            adaptor_S=simple_adaptor,
        )

    def _train(self, distiller: Any, loader: Any, warmup: float) -> None:
        named = list(distiller.model_S.named_parameters())
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for _, p in named if p.ndim > 1], "weight_decay": 0.01},
                {"params": [p for _, p in named if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
            eps=1e-8,
            fused=True,
        )
        schedule = {
            "num_warmup_steps": int(warmup * self.steps),
            "num_training_steps": self.steps,
        }
        with distiller:
            distiller.train(
                optimizer,
                loader,
                num_epochs=1,
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args=schedule,
                max_grad_norm=1.0,
                callback=None,
            )

    def check(self) -> dict[str, list[float]]:
        """Its own losses on the rows of the others' first batches, padded to 128; no dropout."""
        epoch, place = epoch_of(self.options), places(self.table)
        batches = []
        for number in range(self.options["check_steps"]):
            chosen = epoch[number]
            rows = place[chosen.row[chosen.weight > 0]].tolist()
            batches.append(torch.utils.data.default_collate([self.rows[i] for i in rows]))
        with tempfile.TemporaryDirectory() as output:
            distiller = self._distiller(0.0, output)
            distiller.tb_writer = Losses()
            self._train(distiller, batches, 0.0)
        return {"float32 losses": distiller.tb_writer.values}

    def warm(self) -> dict[str, float]:
        """Two steps."""
        begun = time.perf_counter()
        self._epoch(2)
        return {"first steps, compilation included": time.perf_counter() - begun}

    def _epoch(self, steps: int) -> None:
        rows: Dataset = self.rows
        if steps:
            rows = Subset(rows, range(min(len(self.rows), steps * BATCH)))
        with tempfile.TemporaryDirectory() as output:
            distiller = self._distiller(None, output)
            loader = DataLoader(rows, sampler=RandomSampler(rows), batch_size=BATCH)
            self._train(distiller, loader, 0.1)

    def block(self) -> dict[str, float]:
        """An epoch, or as many steps of one as are asked for, scaled to the others' block."""
        steps = self.options.get("textbrewer_steps") or self.options.get("steps") or self.steps
        wanted = self.options.get("steps") or self.steps
        begun = time.perf_counter()
        self._epoch(steps)
        seconds = time.perf_counter() - begun
        return {f"{wanted} steps": seconds * wanted / steps}
