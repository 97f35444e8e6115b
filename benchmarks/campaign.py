"""Every method on real SST-2: a teacher, a student of 3 layers alone, and that student distilled.

    python -m benchmarks.campaign --data GLUE --checkpoint CHECKPOINT [--work runs/campaign]
        [--rows 0 --seeds 0] [--methods alone kd] [--teachers RUNS]
    python -m benchmarks.campaign --data GLUE --checkpoint CHECKPOINT --grid

Each run is a run folder WORK/<seed>/<name>, made by jaxdistill.main. What is finished is reused,
and after a SIGTERM or a crash the same command goes on. All methods of a seed learn from one
teacher, which starts from CHECKPOINT; so does their twin, from its first layers, on labels alone.
Where --teachers is given the teacher is not trained, but RUNS/<seed>/teacher, which is finished.
"kd_unseen" is KD on the train rows beyond --rows too, for the teacher alone to label, in about as
many steps: what soft labels are worth on texts that the teacher was not trained on. "cut" and
"kd_cut" are the student alone and KD again, but from every second layer of the fine-tuned teacher,
as TinyBERT's student is: what the start is worth.

Nothing is tuned: one learning rate, batch size and precision for all. Dev is scored every 250 steps
and the best is reported, chosen on the very rows that it is reported on. The grid tunes KD and PKD
as the PKD paper does, with the first seed: alpha and T without the patient term, then beta with the
best.

Prints a table, and writes it to WORK/table.md (WORK/grid.md).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import machine
from benchmarks.finishing import Flags, finish
from jaxdistill.data.readers import cap, read_split
from jaxdistill.data.tasks import find_task
from jaxdistill.files import read_json, write_atomic
from jaxdistill.inputs import CAP_SEED

DRAWS = 10_000
"""Resamplings of a bootstrap."""


class Plan(NamedTuple):
    """A run: configs/<recipe>.py:sst2 and what is changed in it."""

    recipe: str
    stages: dict[str, int]
    """Epochs by stage."""
    flags: Flags


def kd(alpha: float, temperature: float) -> Flags:
    """config.method of KD as Hinton et al. have it."""
    return {
        "method.soft_weight": alpha,
        "method.hard_weight": 1 - alpha,
        "method.temperature": temperature,
        "method.temperature_on": "both",
        "method.temperature_squared": True,
    }


def pkd(alpha: float, temperature: float, beta: float) -> Flags:
    """config.method of PKD; beta is that of its authors' code, for the mean over everything."""
    means = {"method.over_layers": "mean", "method.over_width": "mean"}
    return {**kd(alpha, temperature), "method.beta": beta, "method.last_layer": False, **means}


def plans(epochs: int, unseen: Path | None = None) -> dict[str, Plan]:
    """The campaign's runs by name; "alone" is the twin of those after it.

    Args:
      unseen: a file of the texts beyond --rows, where there are some.
    """
    after = max(1, epochs - 1)
    found = {
        "alone": Plan("student", {"finetune": epochs}, {}),
        "kd": Plan("kd", {"kd": epochs}, kd(0.5, 10.0)),
        "pkd": Plan("pkd", {"pkd": epochs}, pkd(0.5, 10.0, 100.0)),
        "tinybert": Plan("tinybert", {"intermediate": 2 * epochs, "prediction": after}, {}),
        "theseus": Plan("theseus", {"replace": epochs, "successor": after}, {}),
    }
    cut = {"student.source": "teacher", "student.pick": "skip"}
    found["cut"] = Plan("kd", {"kd": epochs}, {**kd(0.0, 1.0), **cut})
    found["kd_cut"] = Plan("kd", {"kd": epochs}, {**kd(0.5, 10.0), **cut})
    if unseen:
        more = {"augment.name": "text", "augment.text": unseen}
        found["kd_unseen"] = Plan("kd", {"kd": 1}, {**kd(0.5, 10.0), **more})
    return found


def main() -> None:
    """Parses the command line, trains what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--checkpoint", required=True, help="where teacher and twin start")
    parser.add_argument("--work", default="runs/campaign", help="the folder of the runs")
    parser.add_argument("--teachers", help="TEACHERS/<seed>/teacher is there already")
    parser.add_argument("--methods", nargs="+", choices=plans(1, Path()), help="default: all")
    parser.add_argument("--rows", type=int, default=20_000, help="of the train set; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3, help="TinyBERT's first stage: twice that")
    parser.add_argument("--layers", type=int, default=3, help="of the students")
    parser.add_argument("--rate", type=float, default=5e-5, help="the learning rate of everything")
    parser.add_argument("--grid", action="store_true", help="tune KD and PKD instead")
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.2, 0.5, 0.7])
    parser.add_argument("--temperature", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    parser.add_argument("--beta", type=float, nargs="+", default=[10.0, 100.0, 500.0, 1000.0])
    args = parser.parse_args()
    work = Path(args.work).expanduser().resolve()
    work.mkdir(parents=True, exist_ok=True)
    rows = f"{args.rows:,}" if args.rows else "all"
    heading = (
        f"SST-2, {rows} train rows, students of {args.layers} layers, epochs: {args.epochs} "
        f"(TinyBERT's first stage {2 * args.epochs}), learning rate {args.rate:g}. {machine()}."
    )
    name, text = ("grid.md", grid(args, work)) if args.grid else ("table.md", campaign(args, work))
    write_atomic(work / name, f"{heading}\n\n{text}")
    print(f"\n{heading}\n\n{text}")


def campaign(args: argparse.Namespace, work: Path) -> str:
    """Trains every plan with every seed; the table."""
    unseen = write_unseen(args, work / "unseen.txt") if args.rows else None
    named = plans(args.epochs, unseen)
    chosen = {name: plan for name, plan in named.items() if name in (args.methods or named)}
    runs: dict[str, list[Path]] = {name: [] for name in ("teacher", *chosen)}
    for seed in args.seeds:
        folder = work / str(seed)
        runs["teacher"].append(teach(args, folder, seed))
        for name, plan in chosen.items():
            runs[name].append(learn(args, folder / name, seed, plan))
    twins = [name for name in chosen if name != "alone" and "alone" in chosen]
    return table(runs, dict.fromkeys(twins, "alone"))


def write_unseen(args: argparse.Namespace, file: Path) -> Path:
    """The texts of the train rows that --rows leaves out, one a line."""
    every = read_split(find_task("sst2"), "train", args.data)
    kept = set(cap(every, args.rows, CAP_SEED).row.tolist())
    rows = zip(every.row.tolist(), every.texts[0], strict=True)
    write_atomic(file, "".join(f"{text}\n" for row, text in rows if row not in kept))
    return file


def grid(args: argparse.Namespace, work: Path) -> str:
    """Trains KD for every alpha and T, then PKD for every beta; the table."""
    seed = args.seeds[0]
    teach(args, work / str(seed), seed)
    found = []

    def add(name: str, flags: Flags, *values: float) -> None:
        folder = work / str(seed) / "-".join([name, *(f"{value:g}" for value in values)])
        report = learn(args, folder, seed, Plan(name, {name: args.epochs}, flags)) / "report.json"
        found.append((name, *values, read_json(report)["metrics"]["dev"]["accuracy"]))

    for alpha, temperature in itertools.product(args.alpha, args.temperature):
        add("kd", kd(alpha, temperature), alpha, temperature)
    _, alpha, temperature, _ = max(found, key=lambda row: row[-1])  # the first of equals
    for beta in args.beta:
        add("pkd", pkd(alpha, temperature, beta), alpha, temperature, beta)
    lines = ["| | alpha | T | beta | dev accuracy |", "|---|---:|---:|---:|---:|"]
    for name, *values, accuracy in sorted(found, key=lambda row: -row[-1]):
        cells = [f"{value:g}" for value in values] + [""] * (3 - len(values))
        lines.append(f"| {name} | {' | '.join(cells)} | {accuracy:.4f} |")
    return "\n".join(lines) + "\n"


def teach(args: argparse.Namespace, folder: Path, seed: int) -> Path:
    """The run folder of a seed's teacher, finished."""
    run = teacher_of(args, folder, seed)
    if args.teachers:
        return run
    plan = Plan("teacher", {"finetune": args.epochs}, {"model.source": args.checkpoint})
    return train(args, run, seed, plan)


def teacher_of(args: argparse.Namespace, folder: Path, seed: int) -> Path:
    """Where the teacher is of the students in folder."""
    if args.teachers:
        return Path(args.teachers).expanduser().resolve() / str(seed) / "teacher"
    return folder / "teacher"


def learn(args: argparse.Namespace, run: Path, seed: int, plan: Plan) -> Path:
    """The run folder of a student, finished."""
    teacher = teacher_of(args, run.parent, seed)
    flags = {"teacher.run": teacher, "student.layers": args.layers, **plan.flags}
    return train(args, run, seed, plan._replace(flags=flags))


def train(args: argparse.Namespace, run: Path, seed: int, plan: Plan) -> Path:
    """Finishes the run of a plan."""
    flags = {
        "seed": seed,
        "data.folder": Path(args.data).expanduser().resolve(),
        "data.train_rows": args.rows,
        **plan.flags,
    }
    for stage, epochs in plan.stages.items():
        each = {"epochs": epochs, "learning_rate": args.rate, "eval_steps": 250}
        flags |= {f"stages.{stage}.{name}": value for name, value in each.items()}
    return finish(f"configs/{plan.recipe}.py:sst2", run, flags)


def table(runs: Mapping[str, Sequence[Path]], twins: Mapping[str, str]) -> str:
    """A row per name: accuracy on dev over the seeds, beside twin and teacher, sizes and speed.

    Args:
      runs: by name, a finished run per seed; of the rows, one is "teacher".
      twins: by name, that of the same student alone.
    """
    hits = {name: np.stack([correct(run) for run in folders]) for name, folders in runs.items()}
    columns = "dev accuracy | min to max | against its twin | 95% | of the teacher | "
    columns += "parameters | without embeddings | examples/s | times the teacher's"
    lines = [f"| | {columns} |", "|---|" + "---:|" * 9]
    for name, folders in runs.items():
        reports = [read_json(run / "report.json") for run in folders]
        each, mean = hits[name].mean(1), hits[name].mean()
        cells = [f"{mean:.4f}", f"{each.min():.4f} to {each.max():.4f}", "", "", ""]
        if name in twins:
            gain, low, high = bootstrap(hits[name].mean(0), hits[twins[name]].mean(0))
            cells[2:4] = [f"{gain:+.4f}", f"{low:+.4f} to {high:+.4f}"]
        if name != "teacher":
            cells[4] = f"{100 * mean / hits['teacher'].mean():.1f}%"
        sizes = reports[0]["parameters"]
        cells += [f"{sizes[part] / 1e6:.2f}M" for part in ("total", "without_embeddings")]
        speeds = [report["examples_per_second"] for report in reports]
        # Beside the teacher's in the same run: another run had the machine in another state.
        times = [
            speed / report["teacher"]["examples_per_second"]
            for speed, report in zip(speeds, reports, strict=True)
            if "teacher" in report and "examples_per_second" in report["teacher"]
        ]
        cells.append(f"{np.median(speeds):.0f}")
        cells.append(f"{np.median(times):.1f}" if times else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    seeds, rows = hits["teacher"].shape
    lines += [
        "",
        f"Means of {seeds} seed(s) over {rows} dev rows; examples/s: medians, batches of 32.",
    ]
    lines += [f"95%: a paired bootstrap over the rows ({DRAWS:,} draws), seeds averaged first."]
    return "\n".join(lines) + "\n"


def correct(run: Path) -> np.ndarray:
    """[N] float, 1 where the run's prediction of a dev row is its label; rows in order."""
    with np.load(run / "predictions" / "dev.npz") as found:
        order = np.argsort(found["row"])
        hit: np.ndarray = found["logits"].argmax(1) == found["labels"]
        return hit[order].astype(np.float64)


def bootstrap(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """(mean of ours - theirs, and its 95% interval), by drawing rows with both their values.

    ours, theirs: [N], of the same rows. Source: Efron, Tibshirani 1993, percentile interval; Koehn
    2004 for the pairing.
    """
    difference = ours - theirs  # [N]
    values, counts = np.unique(difference, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(ours), counts / len(ours), DRAWS)
    means = draws @ values / len(ours)  # [DRAWS]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


if __name__ == "__main__":
    main()
