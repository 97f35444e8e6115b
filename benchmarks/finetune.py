"""Fine-tuning on SST-2: our step beside transformers in PyTorch with bf16 autocast, same batches.

    python benchmarks/finetune.py --data GLUE --checkpoint FOLDER [--blocks 12]

Both train the same checkpoint on the same batches from the same length buckets, with dropout, AdamW
and clipping. Blocks of steps alternate, so that whatever else the machine does hits both. First the
losses of both on one batch without dropout must agree. An epoch is the sum over buckets of its
batches times the median step. Needs torch and transformers, which the package does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter, defaultdict
from pathlib import Path

import jax
import numpy as np
import torch
from transformers import BertForSequenceClassification

from jaxdistill.data.batches import batches, make_table
from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import load_tokenizer, tokenize
from jaxdistill.gradients import gradient
from jaxdistill.methods.finetune import Finetune
from jaxdistill.models.bert import Bert
from jaxdistill.models.sources import load_pretrained
from jaxdistill.optimizer import make_optimizer
from jaxdistill.sharding import make_mesh, split
from jaxdistill.step import make_step, start
from jaxdistill.types import Batch, Params, StagePlan

PLAN = StagePlan(
    epochs=1,
    batch_size=32,
    optimizer="adamw",
    learning_rate=5e-5,
    betas=(0.9, 0.999),
    epsilon=1e-6,
    schedule="constant",
    power=1.0,
    warmup=0.0,
    weight_decay=0.01,
    clip=1.0,
    precision="bfloat16",
    eval_steps=0,
)
BUCKETS = (16, 32, 64, 128)


def main() -> None:
    """Parses the command line, checks equality, then measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--checkpoint", required=True, help="a BERT in Hugging Face's layout")
    parser.add_argument("--blocks", type=int, default=12, help="of each program")
    parser.add_argument("--steps", type=int, default=12, help="in a block")
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)

    task = find_task("sst2")
    examples = read_split(task, "train", args.data)
    tokens = tokenize(
        examples.texts, load_tokenizer(Path(args.checkpoint)), 128, cache=None, poll=lambda: None
    )
    table = make_table(examples, tokens)
    epoch = batches(table, 32, buckets=BUCKETS, seed=0, epoch=0, training=True)
    counts = Counter(int(width) for width in epoch._widths)

    theirs = BertForSequenceClassification.from_pretrained(args.checkpoint, num_labels=2)
    head = theirs.classifier
    pretrained = load_pretrained(args.checkpoint, classes=2)
    params = dict(pretrained.params)
    params["classifier"] = {
        "kernel": head.weight.detach().numpy().T.copy(),
        "bias": head.bias.detach().numpy().copy(),
    }
    model = Bert(pretrained.shape, "bfloat16")
    check_equal(model, params, theirs, epoch[0])

    mesh = make_mesh()
    optimizer = make_optimizer(PLAN, len(epoch))
    stage = Finetune().stages(model, None)[0]
    step = make_step(gradient(stage.loss), optimizer, len(epoch))
    state = start({"student": params}, optimizer, mesh)
    key = jax.random.key(0)
    theirs.train()
    torch_optimizer = torch.optim.AdamW(
        theirs.parameters(), lr=5e-5, eps=1e-6, weight_decay=0.01, fused=True
    )

    def ours_step(batch):
        nonlocal state
        state, _ = step(state, {}, split(batch, mesh), key)
        jax.block_until_ready(state)

    def torch_step(batch):
        inputs = torch_inputs(batch)
        with torch.autocast("cpu", torch.bfloat16):
            loss = theirs(**inputs, labels=torch.tensor(batch.labels).long()).loss
        torch_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        torch_optimizer.step()

    programs = {"jaxdistill": ours_step, "torch autocast": torch_step}
    seen = {}
    for index in range(len(epoch)):  # compile every shape, warm every allocator
        batch = epoch[index]
        if batch.input_ids.shape[1] not in seen:
            seen[batch.input_ids.shape[1]] = True
            for run in programs.values():
                run(batch)
    seconds: dict[str, dict[int, list[float]]] = {n: defaultdict(list) for n in programs}
    at = 0
    for _ in range(args.blocks):
        block = [epoch[(at + i) % len(epoch)] for i in range(args.steps)]
        at += args.steps
        for name, run in programs.items():
            for batch in block:
                begun = time.perf_counter()
                run(batch)
                seconds[name][batch.input_ids.shape[1]].append(time.perf_counter() - begun)
    report(counts, seconds)


def torch_inputs(batch: Batch) -> dict[str, torch.Tensor]:
    """The batch as transformers wants it."""
    return {
        "input_ids": torch.tensor(batch.input_ids).long(),
        "attention_mask": torch.tensor(batch.mask).long(),
        "token_type_ids": torch.tensor(batch.segments).long(),
    }


def check_equal(model: Bert, params: Params, theirs: torch.nn.Module, batch: Batch) -> None:
    """Both must compute the same logits in bfloat16 before anything is timed."""
    theirs.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = theirs(**torch_inputs(batch)).logits.float().numpy()
    logits = np.asarray(model.apply({"params": params}, batch).logits)
    difference = float(np.abs(logits - expected).max())
    print(f"largest difference of the logits, both in bfloat16: {difference:.1e}")
    assert difference < 0.02, "not the same model"


def report(counts: Counter[int], seconds: dict[str, dict[int, list[float]]]) -> None:
    """Prints medians by bucket, the epoch they add up to, and the ratio."""
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, jax "
        f"{jax.__version__}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    widths = sorted(set(seconds["jaxdistill"]) & set(counts))
    result = {}
    for name, by_width in seconds.items():
        medians = {w: float(np.median(by_width[w])) for w in widths}
        spread = {w: np.subtract(*np.percentile(by_width[w], [75, 25])) for w in widths}
        total = sum(medians[w] * counts[w] for w in widths)
        result[name] = {"medians": medians, "epoch": total}
        cells = ", ".join(
            f"T {w}: {medians[w] * 1e3:.0f} ms (IQR {spread[w] * 1e3:.0f}, n {len(by_width[w])})"
            for w in widths
        )
        print(f"{name:15s} {cells}; epoch {total:.0f} s")
    ratio = result["torch autocast"]["epoch"] / result["jaxdistill"]["epoch"]
    print(f"times PyTorch's speed: {ratio:.2f}")
    print(json.dumps({"ratio": ratio, **result}))


if __name__ == "__main__":
    main()
