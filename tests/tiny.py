"""A tiny BERT checkpoint and a tiny SST-2, made on the spot: what most tests train on."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.huggingface import save_huggingface

SHAPE = BertShape(
    vocab=60, width=16, layers=2, heads=2, inner=32, classes=2, positions=64, dropout=0.1
)
GOOD = ["fine", "great", "lovely", "warm", "clever"]
BAD = ["dull", "awful", "weak", "cold", "silly"]
PLAIN = ["the", "film", "is", "a", "story", "of", "and", "with", "plot", "cast", "it", "very"]


PLAN = {
    "batch_size": 8,
    "epochs": 3,
    "learning_rate": 5e-3,
    "eval_steps": 0,
    "precision": "float32",
}
"""A section of config.stages that learns the task in seconds."""


def write_tokenizer(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *PLAIN]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}', "utf-8")
    return folder


def write_checkpoint(
    folder: Path,
    labels: tuple[str, ...] = ("negative", "positive"),
    shape: BertShape = SHAPE,
    seed: int = 0,
) -> Path:
    """A folder in Hugging Face's layout: BertForSequenceClassification with random weights."""
    params = initial_params(Bert(shape), jax.random.key(seed))
    tokenizer = write_tokenizer(folder.parent / "tokenizer")
    save_huggingface(folder, jax.device_get(params), shape, labels, tokenizer)
    return folder


def write_sst2(folder: Path, train: int = 96, dev: int = 40, seed: int = 0) -> Path:
    """GLUE's layout; the label is whether good words outnumber bad ones."""
    rng = np.random.default_rng(seed)
    (folder / "SST-2").mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("dev", dev)):
        lines = ["sentence\tlabel"]
        for _ in range(count):
            good = bool(rng.integers(2))
            length = int(rng.integers(2, 18))
            words = [str(w) for w in rng.choice(PLAIN, length)]
            for word in rng.choice(GOOD if good else BAD, 2):
                words.insert(int(rng.integers(len(words) + 1)), str(word))
            lines.append(f"{' '.join(words)} \t{int(good)}")
        (folder / "SST-2" / f"{name}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def arguments(checkpoint: Path, data: Path, run: Path, **overrides: object) -> list[str]:
    """The command line of a small fine-tuning run; overrides as a__b=value for config.a.b."""
    values = {
        "data__folder": data,
        "data__buckets": (16, 32),
        "data__max_length": 32,
        "model__source": checkpoint,
        **{f"stages__finetune__{name}": value for name, value in PLAN.items()},
        "stages__finetune__epochs": 2,
        **overrides,
    }
    words = ["main", "--config", "configs/teacher_sst2.py", f"--workdir={run}"]
    return words + [f"--config.{k.replace('__', '.')}={v}" for k, v in values.items()]
