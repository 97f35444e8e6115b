"""BERT parameters and config.json from and to Hugging Face's, by the table in hftable.py."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from jaxdistill.data.tokens import load_tokenizer, normalizing
from jaxdistill.errors import UserError
from jaxdistill.models.bert import BertShape
from jaxdistill.models.hfconfig import config_from_shape, headless_config, shape_from_config
from jaxdistill.models.hftable import Leaf, expected, leaves
from jaxdistill.models.hub import TOKENIZER_FILES
from jaxdistill.types import Params

__all__ = [
    "TOKENIZER_FILES",
    "Converted",
    "config_from_shape",
    "from_huggingface",
    "save_huggingface",
    "shape_from_config",
    "to_huggingface",
]

TOKENIZER_SETTINGS = "tokenizer_config.json"
_PROJECTIONS = ("projection", "projections")
_OPTIONAL = ("pooler", "classifier", "mlm", *_PROJECTIONS)
"""Parts that a checkpoint may lack as a whole."""
_IGNORED = re.compile(
    r"embeddings\.(position_ids|token_type_ids)"  # buffers
    r"|cls\.predictions\.decoder\.(weight|bias)"  # tied to the word embedding, and to the bias
    r"|cls\.seq_relationship\.(weight|bias)|qa_outputs\.(weight|bias)"  # heads of other tasks
)
_BESIDE = ("classifier.", "cls.")
"""Names that stand beside "bert.", not under it."""
_FLOATS = {np.dtype(t) for t in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)}


class Converted(NamedTuple):
    """What a checkpoint held."""

    params: dict[str, Any]
    """The tree of bert.py, float32 NumPy, without the parts in absent."""
    projection: dict[str, np.ndarray] | None
    """TinyBERT's: kernel [D, D'], bias [D'], or per hidden state [L+1, D, D'] and [L+1, D']."""
    absent: tuple[str, ...]
    """Which of pooler, classifier and mlm it does not hold."""


def from_huggingface(tensors: Mapping[str, np.ndarray], shape: BertShape) -> Converted:
    """The parameters in a checkpoint of BertModel, BertForSequenceClassification, BertForMaskedLM,
    BertForPreTraining or TinyBERT.

    Names may begin with "bert." or "module."; LayerNorm may have its old gamma and beta; values may
    be float16, bfloat16, float32 or float64. Buffers, tied copies and the heads of next-sentence
    prediction and question answering are passed over.

    Args:
      tensors: name -> array, not changed.
      shape: what the checkpoint must fit; shape.classes holds for its classifier, if it has one.

    Raises:
      UserError: names every tensor that is missing, spare or of a wrong shape, with both shapes.
    """
    theirs, problems = _canonical(tensors)
    all_leaves = leaves(shape)
    present = {leaf.path[0] for leaf in all_leaves if any(name in theirs for name in leaf.names)}
    absent = set(_OPTIONAL) - present
    used = [leaf for leaf in all_leaves if leaf.path[0] not in absent]
    sizes = {name: leaf.shape for leaf in used for name in leaf.names}
    missing = [f"{name} {_dims(size)}" for name, size in sizes.items() if name not in theirs]
    spare = [f"{name} {_dims(a.shape)}" for name, a in theirs.items() if name not in sizes]
    wrong = [
        f"{name} {why}"
        for name, size in sizes.items()
        if name in theirs and (why := _misfit(theirs[name], size))
    ]
    projections = [leaf for leaf in used if leaf.path[0] in _PROJECTIONS]
    widths = {theirs[n].shape[:1] for leaf in projections for n in leaf.names if n in theirs}
    if len(widths) > 1 or len(projections) > 2:
        problems.append("fit_dense and fit_denses are there both, or lead to several widths")
    problems += [
        f"{title}: {', '.join(_fold(names))}"
        for title, names in (("missing", missing), ("spare", spare), ("unfit", wrong))
        if names
    ]
    if problems:
        raise UserError(
            f"The checkpoint does not fit the BERT of its config.json ({shape.layers} layers, "
            f"width {shape.width}, inner width {shape.inner}, {shape.vocab} word pieces, "
            f"{shape.classes} classes). {'; '.join(problems)}. Shapes are as in the checkpoint, "
            "[out, in]. Take the config.json that was saved with these weights."
        )
    tree: dict[str, Any] = {}
    for leaf in used:
        node = tree
        for part in leaf.path[:-1]:
            node = node.setdefault(part, {})
        node[leaf.path[-1]] = _gather(leaf, theirs)
    found = [tree.pop(part) for part in _PROJECTIONS if part in tree]
    return Converted(
        params=tree,
        projection=found[0] if found else None,
        absent=tuple(p for p in _OPTIONAL if p in absent and p not in _PROJECTIONS),
    )


def to_huggingface(
    params: Params, shape: BertShape, *, mlm: bool = False, classifier: bool = True
) -> dict[str, np.ndarray]:
    """Name -> float32 array, what transformers loads with strict keys.

    Args:
      params: the tree of bert.py; a head that is not asked for may be in it and is left out.
      mlm: False: a BertForSequenceClassification. True: a BertForMaskedLM, without pooler and
        classifier, with the decoder's copies of the word embedding and of the bias.
      classifier: False, and mlm False: a BertModel.

    Raises:
      UserError: arrays that are missing, of another shape, or unknown to the table.
    """
    heads = ("mlm",) if mlm else ("pooler", "classifier") if classifier else ("pooler",)
    kept = ("embeddings", "layers", *heads)
    ours = dict(_flatten(params))
    problems = [
        f"{path} is {_dims(ours[path].shape) if path in ours else 'missing'}, must be {_dims(size)}"
        for path, size in expected(shape).items()
        if path.split("/")[0] in kept and (path not in ours or ours[path].shape != size)
    ]
    problems += [f"{path} is spare" for path in ours if path not in expected(shape)]
    if problems:
        raise UserError(f"These parameters are no BERT of this shape: {'; '.join(problems)}.")
    tensors = {}
    for leaf in leaves(shape):
        if leaf.path[0] not in kept:
            continue
        array = np.asarray(ours["/".join(leaf.path)], np.float32)
        for name, part in zip(leaf.names, array if leaf.stacked else array[None], strict=True):
            # safetensors writes memory as it lies: a transposed view must become an array first.
            whole = np.ascontiguousarray(part.T if leaf.transposed else part)
            tensors[name if name.startswith(_BESIDE) else f"bert.{name}"] = whole
    if mlm:
        words, bias = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
        tensors["cls.predictions.decoder.weight"] = tensors[words].copy()
        tensors["cls.predictions.decoder.bias"] = tensors[bias].copy()
    return tensors


def save_huggingface(
    folder: Path,
    params: Params,
    shape: BertShape,
    labels: tuple[str, ...],
    tokenizer_folder: Path,
    *,
    many: bool = False,
    longest: int | None = None,
) -> str:
    """Writes a folder that transformers loads, and returns by which class.

    That is BertForSequenceClassification; of parameters without classifier BertForMaskedLM, and
    without the masked-LM head too BertModel. config.json comes last: what was interrupted does not
    pass for a model.

    Args:
      folder: made where it is not there; files of the same names are replaced.
      labels: the classes' names in the order of the logits; () for a regression, and without
        classifier.
      many: whether a text may have any number of the labels.
      tokenizer_folder: TOKENIZER_FILES are copied from it, and its settings are spelled out.
      longest: the tokens of the longest texts that it read in training, where transformers is to
        cut; None: as its tokenizer says, or as many as it has positions.

    Raises:
      UserError: as to_huggingface and config_from_shape, or no tokenizer in its folder.
    """
    if not any((tokenizer_folder / name).is_file() for name in TOKENIZER_FILES[:2]):
        raise UserError(f"{tokenizer_folder} holds no tokenizer: no tokenizer.json, no vocab.txt.")
    classifier, mlm = "classifier" in params, "classifier" not in params and "mlm" in params
    tensors = to_huggingface(params, shape, mlm=mlm, classifier=classifier)
    if classifier:
        config = config_from_shape(shape, labels, many=many)
    else:
        config = headless_config(shape, "BertForMaskedLM" if mlm else "BertModel")
    settings = _tokenizer_settings(tokenizer_folder, shape.positions, longest)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if not folder.samefile(tokenizer_folder):
        for name in TOKENIZER_FILES:
            source, target = tokenizer_folder / name, folder / name
            target.unlink(missing_ok=True)  # another model's
            if source.is_file():
                shutil.copyfile(source, target)
    (folder / TOKENIZER_SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, "utf-8")
    return str(config["architectures"][0])


def _tokenizer_settings(folder: Path, positions: int, longest: int | None) -> dict[str, Any]:
    """tokenizer_config.json with what load_tokenizer does and how much the model is to read.

    transformers lowers all letters where nothing is said, and cuts at model_max_length alone.
    """
    path = folder / TOKENIZER_SETTINGS
    given = json.loads(path.read_bytes()) if path.is_file() else {}
    # What an ancestor read says nothing of a model that was trained since.
    most = min(longest or given.get("model_max_length", positions), positions)
    return {**given, **normalizing(load_tokenizer(folder)), "model_max_length": most}


def _canonical(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """-> tensors under today's names without prefixes and without what is ignored, problems."""
    theirs: dict[str, np.ndarray] = {}
    problems = []
    decoder_bias = None
    for name, array in tensors.items():
        short = name.removeprefix("module.").removeprefix("bert.")
        short = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", short)
        short = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", short)
        if short in theirs:
            problems.append(f"two tensors are {short}, one of them {name}")
        if not _IGNORED.fullmatch(short):
            theirs[short] = array
        elif short == "cls.predictions.decoder.bias":
            decoder_bias = array
    # Of two tied tensors a writer of safetensors keeps one, and not always the same one.
    if decoder_bias is not None and "cls.predictions.bias" not in theirs:
        theirs["cls.predictions.bias"] = decoder_bias
    return theirs, problems


def _misfit(array: np.ndarray, size: tuple[int | None, ...]) -> str:
    """Why an array is not what is wanted; "" if it is."""
    fits = len(array.shape) == len(size) and all(
        want is None or have == want for have, want in zip(array.shape, size, strict=True)
    )
    if not fits:
        return f"is {_dims(array.shape)}, must be {_dims(size)}"
    if array.dtype not in _FLOATS:
        return f"is {array.dtype}, must be a float type"
    bad = array.size - np.count_nonzero(np.isfinite(array))
    return f"has {bad} values that are not finite" if bad else ""


def _gather(leaf: Leaf, theirs: Mapping[str, np.ndarray]) -> np.ndarray:
    parts = [theirs[name].T if leaf.transposed else theirs[name] for name in leaf.names]
    out = np.empty((len(parts), *parts[0].shape), np.float32)
    for i, part in enumerate(parts):
        out[i] = part
    return out if leaf.stacked else out[0]


def _flatten(tree: Params, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{key}/")
        else:
            yield f"{path}{key}", value


def _fold(names: Sequence[str]) -> list[str]:
    """Names that differ only in the layer's number as one: "encoder.layer.{6-11}.output"."""
    groups: dict[str, list[int]] = {}
    for name in names:
        number = re.search(r"(?<=\.)\d+(?=\.)", name)
        key = f"{name[: number.start()]}\0{name[number.end() :]}" if number else name
        groups.setdefault(key, []).extend([int(number.group())] if number else [])
    out = []
    for key, numbers in groups.items():
        dense = len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1))
        shown = f"{numbers[0]}-{numbers[-1]}" if dense else ",".join(map(str, numbers))
        out.append(key.replace("\0", f"{{{shown}}}" if len(numbers) > 1 else shown))
    return out


def _dims(size: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if n is None else str(n) for n in size)}]"
