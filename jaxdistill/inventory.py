"""Which data sets, checkpoints and runs are at hand, found without opening a socket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from jaxdistill.data.readers import is_there, read_split
from jaxdistill.data.task import Task
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError
from jaxdistill.health import Finding
from jaxdistill.models.hub import TOKENIZER_FILES
from jaxdistill.models.tensorfiles import WEIGHTS

DATA = ("assets/glue", "assets/data", "glue", "data")
"""Where data is looked for in the working folder when nobody says where it is."""
FETCH = "python -m jaxdistill.prefetch"


def data(folders: Iterable[str]) -> list[Finding]:
    """Every split in these folders, read whole, with its counts; those that lack a part are notes.

    Args:
      folders: as config.data.folder has them; none: DATA, as far as they exist.
    """
    given = list(folders)
    wanted = given or [name for name in DATA if Path(name).is_dir()]
    findings: list[Finding] = []
    for folder in wanted:
        held = [
            finding
            for task in TASKS.values()
            if task.files and _holds(folder, task)
            for finding in _task(task, folder)
        ]
        if not held and given:
            text = f"{folder} holds no task's folder, such as SST-2"
            held = [Finding("data", "note", text, f"{FETCH} --task sst2 --output assets")]
        findings += held
    if not findings:
        text = "no data set here; the quickstart needs none, other recipes ask the hub"
        findings = [Finding("data", "note", text, f"{FETCH} --task sst2 --output assets")]
    return findings


def sources() -> list[Finding]:
    """Checkpoints in the working folder, assets and the hub's cache, and finished runs."""
    here = [*Path().glob("*/config.json"), *Path("assets").glob("*/config.json")]
    cached = _hub_cache().glob("models--*/snapshots/*/config.json")
    findings = [
        Finding("sources", "ok", f"{_named(path.parent)}: {kind}")
        for kind, paths in (("a checkpoint", here), ("in the hub's cache", cached))
        for path in sorted(paths)
        if _is_bert(path)
    ]
    if not findings:
        text = "no checkpoint here; the quickstart needs none, other recipes ask the hub"
        remedy = f"{FETCH} --model bert-base-uncased --output assets"
        findings = [Finding("sources", "note", text, remedy)]
    for path in sorted(Path("runs").glob("*/model.json")):
        done = (path.parent / "report.json").is_file()
        state = "a finished run" if done else "a run that is not finished"
        findings.append(Finding("sources", "ok", f"{path.parent}: {state}"))
    return findings


def _holds(folder: str, task: Task) -> bool:
    """Whether it has the task's folder, or is it."""
    path = Path(folder).expanduser()
    return (path / task.folder).is_dir() or (path.name == task.folder and path.is_dir())


def _task(task: Task, folder: str) -> list[Finding]:
    """One finding per split of a task whose folder is there."""
    findings = []
    for split in task.splits:
        fetch = f"{FETCH} --task {task.name} --output assets" if task.hub else ""
        if not is_there(task, split, folder):
            text = f"{Path(folder, task.folder, task.files[split])} is not there"
            findings.append(Finding("data", "note", text, fetch))
            continue
        said: list[str] = []
        try:
            count = len(read_split(task, split, folder, said.append).row)
        except UserError as error:
            findings.append(Finding("data", "note", str(error), fetch))
            continue
        same = split not in task.rows or count == task.rows[split]
        findings.append(Finding("data", "ok" if same else "note", " ".join(said)))
    return findings


def _hub_cache() -> Path:
    """As huggingface_hub finds it."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()


def _is_bert(config: Path) -> bool:
    """Whether a config.json lies among a BERT's weights and tokenizer."""
    try:
        about = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return False
    parts = (WEIGHTS, TOKENIZER_FILES[:2])
    whole = all(any((config.parent / name).is_file() for name in names) for names in parts)
    return isinstance(about, dict) and about.get("model_type") == "bert" and whole


def _named(folder: Path) -> str:
    """A folder, or the hub's name of one in its cache."""
    if folder.parent.name != "snapshots":
        return str(folder)
    return folder.parents[1].name.removeprefix("models--").replace("--", "/")
