"""Where a BERT comes from: a folder in Hugging Face's layout, or the hub by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdistill.errors import UserError
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.hfconfig import head_from_config, read_config, shape_from_config
from jaxdistill.models.hub import TOKENIZER_FILES, download, is_hub_name
from jaxdistill.models.huggingface import from_huggingface
from jaxdistill.models.tensorfiles import WEIGHTS, read_tensors, sha256, weight_files
from jaxdistill.notices import Notice
from jaxdistill.types import Params

_OTHER_CLASSIFIERS = ("BertForTokenClassification", "BertForMultipleChoice")
"""Architectures that call a head "classifier" which classifies something else than texts."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A checkpoint as it was found; complete() fills what it lacks."""

    shape: BertShape
    params: Params
    """The tree of bert.py, float32 NumPy, without the heads that the source lacks."""
    has_classifier: bool
    """Whether params has the source's own classifier of shape.classes outputs."""
    has_mlm: bool
    labels: tuple[str, ...]
    """The classifier's names in the order of its logits; () without one and for a regression."""
    regression: bool
    """Whether the source's own classifier gives a number."""
    many: bool | None
    """Whether it gives a text any number of its labels; None where the source does not say."""
    projection: Mapping[str, np.ndarray] | None
    """TinyBERT's, as Converted.projection."""
    tokenizer: Path
    """The folder that holds the tokenizer's files."""
    origin: str
    """What the user wrote."""
    sha256: str
    """Of the weight file; of several, of their bytes in the order of their names."""
    left_out: str
    """Which classifier the source has that was not taken, and why; "" where there is none."""


def load_pretrained(source: str, *, classes: int | None) -> Pretrained:
    """Reads a checkpoint from a local folder, or from the hub's cache or the hub.

    Args:
      source: an existing folder, or a hub name ("bert-base-uncased", "someone/model").
      classes: the outputs wanted. A classifier in the source with another number of outputs is
        left out (training goes on from the encoder). None: the source is used as it is and must
        have one.

    Raises:
      UserError: no such folder or model; files that are missing or broken; weights that do not fit
        config.json; another architecture than BERT; classes None and no classifier.
    """
    folder = _folder(source)
    config = read_config(folder)
    shape_from_config(config, 1)  # refuse another architecture before its weights are read
    tensors = read_tensors(folder)
    tensors, left_out, outputs = _own_classifier(tensors, config, classes)
    wanted = classes if outputs is None else outputs
    if wanted is None:
        raise UserError(
            f"{source} has no classifier that could be used as it is{_because(left_out)}. Give a "
            "fine-tuned BertForSequenceClassification, or train this one first."
        )
    shape = shape_from_config(config, wanted)
    try:
        params, projection, absent = from_huggingface(tensors, shape)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    about = None if outputs is None else head_from_config(config, outputs)
    return Pretrained(
        shape=shape,
        params=params,
        has_classifier="classifier" not in absent,
        has_mlm="mlm" not in absent,
        labels=about.labels if about else (),
        regression=bool(about and about.regression),
        many=about.many if about else None,
        projection=projection,
        tokenizer=folder,
        origin=source,
        sha256=sha256(weight_files(folder)),
        left_out=left_out,
    )


def complete(
    pretrained: Pretrained,
    model: Bert,
    key: jax.Array,
    notice: Notice,
    *,
    classifier: bool = True,
    mlm: bool = False,
) -> Params:
    """All parameters that model needs: the source's, and new ones for the heads that it lacks.

    Args:
      model: of pretrained.shape.
      key: draws the new heads, as initial_params(model, key) would.
      notice: called with one sentence for each head that is new.
      classifier, mlm: whether that head is needed; if not, it is left out even where there is one.
    """
    heads = ("pooler", *(("classifier",) if classifier else ()), *(("mlm",) if mlm else ()))
    new = [name for name in heads if name not in pretrained.params]
    kept = {k: v for k, v in pretrained.params.items() if k in ("embeddings", "layers", *heads)}
    if not new:
        return kept

    # Compiled, so that drawing a head does not cost drawing the whole model.
    drawn = jax.jit(lambda k: {n: initial_params(model, k, mlm=mlm)[n] for n in new})(key)
    for name in new:
        tree = jax.tree.map(np.asarray, drawn[name])
        size = list((tree["dense"] if name == "mlm" else tree)["kernel"].shape)
        why = f"not in {pretrained.origin}"
        if name == "classifier" and pretrained.left_out:
            why = f"{pretrained.origin} has {pretrained.left_out}"
        notice(f"new {name} {size}: {why}")
        kept[name] = tree
    return kept


def align_labels(
    params: Params,
    theirs: tuple[str, ...],
    ours: tuple[str, ...],
    notice: Notice,
) -> Params:
    """params with the classifier's outputs in the order of ours.

    Names are compared without regard to case, and with "-", "_" and " " alike. Names that say
    nothing (LABEL_0, LABEL_1 ... or 0, 1 ...) are taken for ours in their order.

    Args:
      params: has a classifier of len(theirs) outputs; not changed.
      theirs: its names, Pretrained.labels.
      ours: the task's label names.
      notice: called with one sentence where outputs were moved or taken on trust.

    Raises:
      UserError: the names are different ones.
    """
    have, want = [_plain(name) for name in theirs], [_plain(name) for name in ours]
    if have == want:
        return params
    if len(set(want)) == len(want) and sorted(have) == sorted(want):
        order = np.array([have.index(name) for name in want])
        notice(f"classifier outputs moved from the order {_list(theirs)} to {_list(ours)}")
        head = params["classifier"]
        moved = {"kernel": head["kernel"][:, order], "bias": head["bias"][order]}
        return {**params, "classifier": moved}
    if len(have) == len(want) and have in (
        [f"label {i}" for i in range(len(have))],
        [str(i) for i in range(len(have))],
    ):
        notice(f"classifier outputs {_list(theirs)} have no names, taken as {_list(ours)}")
        return params
    raise UserError(
        f"The classifier tells {_list(theirs)}, the task {_list(ours)}: they must be the same "
        "names, in any order. Choose a classifier of this task, or name the task's labels as it "
        "does (the classifier's are id2label in its config.json)."
    )


def _folder(source: str) -> Path:
    folder = Path(source).expanduser()
    if folder.is_dir():
        _check_files(folder, source)
        return folder
    if folder.exists():
        raise UserError(f"{source} is a file; give the model's folder, with its config.json.")
    if not is_hub_name(source):
        raise UserError(
            f"There is no folder {source} (looked for {folder.absolute()}). Give a folder with a "
            "model's config.json, weights and tokenizer, or a hub name (name or owner/name)."
        )
    folder = download(source)
    _check_files(folder, f"{source} (downloaded to {folder})")
    return folder


def _check_files(folder: Path, source: str) -> None:
    missing = [
        " or ".join(names)
        for names in (("config.json",), WEIGHTS, TOKENIZER_FILES[:2])
        if not any((folder / name).is_file() for name in names)
    ]
    if missing:
        there = sorted(path.name for path in folder.iterdir())
        shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if there[20:] else "")
        raise UserError(
            f"{source} is no complete model folder: it lacks {'; '.join(missing)}. It holds "
            f"{shown or 'nothing'}. Download the model again with all its files."
        )


def _own_classifier(
    tensors: dict[str, np.ndarray], config: Mapping[str, Any], classes: int | None
) -> tuple[dict[str, np.ndarray], str, int | None]:
    """-> tensors without a classifier that is not to be taken, what it was, outputs if taken."""
    names = [n for n in tensors if re.fullmatch(r"(module\.)?classifier\.(weight|bias)", n)]
    sizes = [tensors[n].shape for n in names if n.endswith("weight")]
    if not sizes:
        return tensors, "", None  # a bias alone is left to the error that names what is missing
    outputs = sizes[0][0] if sizes[0] else 0
    architectures = config["architectures"] if "architectures" in config else None
    other = [a for a in architectures or () if a in _OTHER_CLASSIFIERS]
    if not other and classes in (None, outputs):
        return tensors, "", outputs
    what = f"one of {outputs} outputs, as a {other[0]}" if other else f"one of {outputs} outputs"
    rest = {name: array for name, array in tensors.items() if name not in names}
    return rest, what, None


def _because(left_out: str) -> str:
    return f" (it has {left_out})" if left_out else ""


def _plain(name: str) -> str:
    return " ".join(re.split(r"[-_\s]+", name.strip().casefold()))


def _list(names: tuple[str, ...]) -> str:
    return f"[{', '.join(names)}]"
