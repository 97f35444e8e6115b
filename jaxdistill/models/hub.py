"""A model's files from the Hugging Face hub or its local cache."""

from __future__ import annotations

import re
from pathlib import Path

from jaxdistill.errors import UserError
from jaxdistill.network import unreachable

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""What belongs to a BERT tokenizer; one of the first two must be there."""
_TIMEOUT = 5.0
"""Seconds to wait for the hub's answer to the first question."""
_SMALL = ("config.json", *TOKENIZER_FILES)
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


def is_hub_name(source: str) -> bool:
    """Whether source is written as a hub's model, "name" or "owner/name", and not as a path."""
    return re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", source) is not None


def download(source: str) -> Path:
    """The folder in the local cache that holds the model's config, weights and tokenizer.

    Weights are taken as safetensors, as pytorch_model.bin only where there are none. Without an
    answer from the hub, what the cache already holds is used.

    Raises:
      UserError: the hub has no such model, it is no BERT, or the hub cannot be reached and the
        cache has no copy.
    """
    # Late: a local folder needs none of it, and importing it reads HF_HOME and its like.
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    from jaxdistill.models.hfconfig import read_config, shape_from_config

    try:
        # Asked by itself: no timeout of the client covers the look-up of the name.
        silent = unreachable(datasets=False)
        if silent:
            raise OSError(silent)
        siblings = HfApi().model_info(source, timeout=_TIMEOUT).siblings or []
        names = {sibling.rfilename for sibling in siblings}
        weights = _SAFETENSORS if names & set(_SAFETENSORS) else _PICKLES
        # Before gigabytes come, what is no BERT is refused.
        small = Path(snapshot_download(source, allow_patterns=[*_SMALL]))
        shape_from_config(read_config(small), 1)
        return Path(snapshot_download(source, allow_patterns=[*_SMALL, *weights]))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except HFValidationError as error:
        raise UserError(f"{source} is neither a local folder nor a hub name: {error}.") from error
    except GatedRepoError as error:
        raise UserError(
            f"{source} is no local folder, and on {constants.ENDPOINT} it is open only to those "
            "who accepted its terms: accept them there and log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{source} is neither a local folder nor a model on {constants.ENDPOINT} (or it is "
            "private: log in with `hf auth login`). Check the spelling; a run that is yet to be "
            "trained is named runs/NAME or ./NAME."
        ) from error
    # The clients below huggingface_hub differ between its versions, and so do their exceptions.
    except Exception as error:
        cached = _cached(source)
        if cached is not None:
            return cached
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise _out_of_reach(source, reason) from error


def check_there(source: str) -> None:
    """Raises what finding the source would, where that needs no download to be known.

    Which is that it is in no cache, and the hub gives no answer.
    """
    if not is_hub_name(source):
        raise UserError(f"{source} is neither a local folder nor a hub name.")
    if (silent := unreachable(datasets=False)) and _cached(source) is None:
        raise _out_of_reach(source, silent)


def _out_of_reach(source: str, reason: str) -> UserError:
    from huggingface_hub import constants

    return UserError(
        f"{source} is neither a local folder nor in the cache {constants.HF_HUB_CACHE}, and "
        f"{constants.ENDPOINT} cannot be reached ({reason}). Download the model's files "
        "where there is a network and give their folder, or copy that machine's cache and set "
        "HF_HOME to it; HF_ENDPOINT names a mirror; HF_HUB_OFFLINE=1 forbids the network."
    )


def _cached(source: str) -> Path | None:
    from huggingface_hub import snapshot_download

    for weights in (_SAFETENSORS, _PICKLES):
        try:
            folder = Path(
                snapshot_download(source, allow_patterns=[*_SMALL, *weights], local_files_only=True)
            )
        except OSError:  # LocalEntryNotFoundError: no copy, or not with these files
            continue
        if any((folder / name).is_file() for name in weights):
            return folder
    return None
