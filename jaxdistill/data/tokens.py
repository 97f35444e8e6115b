"""Texts to word pieces: flat ids and offsets, once per text, cached.

The Rust tokenizer is called in large batches; ids stay one flat array, because padding every text
to one length costs more than tokenizing it.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from jaxdistill.errors import UserError
from jaxdistill.files import replacing
from jaxdistill.notices import Notice, print_notice

_CHUNK = 20_000
"""Texts between two polls: about a third of a second."""

_FORMAT = 1
"""Part of the cache's key; changes with what is stored."""

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Tokens(NamedTuple):
    """The word pieces of N examples, [CLS] A [SEP] or [CLS] A [SEP] B [SEP]."""

    ids: np.ndarray
    """[sum of lengths] int32."""
    offsets: np.ndarray
    """[N+1] int64; example i is ids[offsets[i]:offsets[i+1]]."""
    second: np.ndarray
    """[N] int32, where in the example segment 1 starts; its length if there is one text only."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """BERT's tokenizer from tokenizer.json if there is one, else from vocab.txt.

    Padding and truncation that tokenizer.json brings along are removed. With vocab.txt,
    do_lower_case, strip_accents and tokenize_chinese_chars come from tokenizer_config.json; where
    that does not say, texts are lower-cased unless the vocabulary holds upper-case word pieces.
    Raises UserError if neither file is there or sound, or if the tokenizer is not BERT's.
    """
    definition, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
    if definition.exists():
        try:
            tokenizer = Tokenizer.from_file(str(definition))
        except Exception as error:  # The Rust library raises bare Exception.
            raise UserError(f"{definition} is not a sound tokenizer ({error}).") from error
        path = definition
    elif vocabulary.exists():
        tokenizer, path = _from_vocabulary(vocabulary, folder / "tokenizer_config.json"), vocabulary
    else:
        raise UserError(
            f"{folder} has no tokenizer: neither tokenizer.json nor vocab.txt is there. Copy the "
            "files that the checkpoint was published with."
        )
    _require_special(tokenizer.get_vocab(), path)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    _require_frame(tokenizer, path)
    return tokenizer


def normalizing(tokenizer: Tokenizer) -> dict[str, Any]:
    """What of BERT's cleaning is in force, by the names of tokenizer_config.json."""
    normalizer = json.loads(tokenizer.to_str())["normalizer"] or {}
    if normalizer.get("type") != "BertNormalizer":
        return {}
    return {
        "do_lower_case": normalizer["lowercase"],
        "strip_accents": normalizer["strip_accents"],
        "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
    }


def tokenize(
    texts: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    max_length: int,
    *,
    cache: Path | None,
    poll: Callable[[], None],
    notice: Notice = print_notice,
) -> Tokens:
    """The word pieces of the texts, at most max_length an example, its special tokens included.

    texts: one list of N strings, or two. Longer examples lose tokens from the end of their longer
    text (the tokenizer's own "longest first"); a notice says how many. cache: a folder in which the
    result is kept under the hash of texts, tokenizer and length, or None. poll is called every
    20,000 examples and may raise. The tokenizer is left as it was.
    Raises UserError if max_length leaves no room for a token of each text.
    """
    room = 2 * len(texts) + 1
    if max_length < room:
        raise UserError(
            f"config.data.max_length is {max_length}, but [CLS], [SEP] and a token of each of "
            f"{len(texts)} texts take {room}."
        )
    definition = tokenizer.to_str()
    path = cache / f"tokens-{_key(texts, definition, max_length)}.npz" if cache else None
    stored = _read(path, len(texts[0])) if path else None
    if stored is None:
        stored = encode(texts, cutting(tokenizer, max_length), max_length, poll)
        if path:
            try:
                _write(path, *stored)
            except OSError as error:
                notice(f"The tokens could not be kept in {path} ({error}); the run goes on.")
    tokens, truncated = stored
    if truncated:
        notice(
            f"{truncated:,} of {len(tokens.second):,} examples are longer than {max_length} tokens "
            "and lose their ends."
        )
    return tokens


def cutting(tokenizer: Tokenizer, max_length: int) -> Tokenizer:
    """A copy that cuts examples at max_length tokens, "longest first", and does not pad."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.enable_truncation(max_length, strategy="longest_first")
    return copy


def check_ids(tokens: Tokens, vocab_size: int) -> None:
    """Raises UserError if a token id is not in the model's vocabulary, which would give NaN."""
    largest = int(tokens.ids.max(initial=-1))
    if largest >= vocab_size:
        raise UserError(
            f"The tokenizer gives the token id {largest}, but the model's vocabulary has "
            f"{vocab_size} entries: tokenizer and model do not belong together. Use the tokenizer "
            "that the model was trained with."
        )


def encode(
    texts: Sequence[Sequence[str]], tokenizer: Tokenizer, max_length: int, poll: Callable[[], None]
) -> tuple[Tokens, int]:
    """The tokens of texts (as tokenize has them), and how many examples were cut.

    tokenizer: from cutting(..., max_length).
    """
    pair = len(texts) == 2
    ids, lengths, second, truncated = [], [], [], 0
    for start in range(0, len(texts[0]), _CHUNK):
        poll()
        parts = [column[start : start + _CHUNK] for column in texts]
        encodings = tokenizer.encode_batch_fast(
            list(zip(*parts, strict=True)) if pair else list(parts[0])
        )
        size = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
        pieces = chain.from_iterable(encoding.ids for encoding in encodings)
        ids.append(np.fromiter(pieces, dtype=np.int32, count=int(size.sum())))
        lengths.append(size)
        last = [sum(encoding.type_ids) for encoding in encodings] if pair else 0
        second.append(size - last)
        full = np.flatnonzero(size == max_length).tolist()
        truncated += sum(bool(encodings[i].overflowing) for i in full)
    none = [np.zeros(0, dtype=np.int64)]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths or none))]).astype(np.int64)
    flat = np.concatenate(ids or none).astype(np.int32, copy=False)
    return Tokens(flat, offsets, np.concatenate(second or none).astype(np.int32)), truncated


def _key(texts: Sequence[Sequence[str]], definition: str, max_length: int) -> str:
    """A hash of all that the tokens depend on. Lengths tell where one text ends."""
    key = hashlib.sha256(f"{_FORMAT} {max_length} {len(texts)} {len(definition)} ".encode())
    key.update(definition.encode())
    for column in texts:
        lengths = np.fromiter(map(len, column), dtype="<i8", count=len(column))
        key.update(len(column).to_bytes(8, "little") + lengths.tobytes())
        key.update("".join(column).encode("utf-8", "surrogatepass"))
    return key.hexdigest()


def _read(path: Path, count: int) -> tuple[Tokens, int] | None:
    """What the cache holds, None if that is nothing or not sound."""
    try:
        # Opened here, because np.load leaves a file open that it cannot read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            tokens = Tokens(*(file[field] for field in Tokens._fields))
            truncated = int(file["truncated"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    shapes = [array.shape for array in tokens[1:]]
    sound = shapes == [(count + 1,), (count,)] and tokens.ids.shape == (tokens.offsets[-1],)
    return (tokens, truncated) if sound else None


def _write(path: Path, tokens: Tokens, truncated: int) -> None:
    """Whole or not at all: other runs may read the same folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, truncated=np.int64(truncated), **tokens._asdict())


def _from_vocabulary(vocabulary: Path, configuration: Path) -> Tokenizer:
    """BERT's tokenizer over a vocab.txt: one word piece a line, its id the line's number from 0."""
    try:
        pieces = vocabulary.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{vocabulary} is not UTF-8 ({error}).") from error
    if not pieces[-1]:
        pieces.pop()
    vocab = {piece.removesuffix("\r"): number for number, piece in enumerate(pieces)}
    _require_special(vocab, vocabulary)
    cased = any(re.fullmatch("(##)?[a-z]*[A-Z][A-Za-z]*", piece) for piece in vocab)
    settings: dict[str, Any] = {
        "do_lower_case": not cased,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
    }
    if configuration.exists():
        try:
            given = json.loads(configuration.read_bytes())
            settings |= {name: given[name] for name in settings if name in given}
        except (ValueError, TypeError) as error:
            raise UserError(f"{configuration} is not a sound JSON object ({error}).") from error
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings["tokenize_chinese_chars"],
        strip_accents=settings["strip_accents"],
        lowercase=settings["do_lower_case"],
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens([token for token in _SPECIAL if token in vocab])
    return tokenizer


def _require_special(vocab: dict[str, int], path: Path) -> None:
    missing = [token for token in _SPECIAL[:4] if token not in vocab]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}, so it is no BERT vocabulary. Only BERT's "
            "tokenizers are supported; use the one that the checkpoint was published with."
        )


def _require_frame(tokenizer: Tokenizer, path: Path) -> None:
    """Raises UserError unless texts are framed as BERT's are."""
    frame = tokenizer.encode("", "")
    if frame.tokens != ["[CLS]", "[SEP]", "[SEP]"] or frame.type_ids != [0, 0, 1]:
        raise UserError(
            f"{path} frames a pair of texts with {frame.tokens} in the segments {frame.type_ids}, "
            "but BERT needs [CLS] A [SEP] B [SEP] in the segments 0 and 1. Use the tokenizer that "
            "the checkpoint was published with."
        )
