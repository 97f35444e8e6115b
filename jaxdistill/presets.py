"""The losses of other implementations as config.method, and their BiLSTMs as config.student, so
that published settings carry over.

    config.method = presets.kd("paddle", classes=2, alpha=0.8, temperature=10.0)

Their alpha, temperature and beta go in as they were published; what comes out are the fields of Kd
or Pkd. A mean over batch and classes is 1/C of ours, the mean over the batch of sums over classes.
Where an original sums over the batch too, its loss is batch_size times ours: of the PKD paper the
whole, of which Adam sees nothing; of torchdistill's regression (C = 1) the teacher's term alone, so
that soft_weight has to be multiplied by the batch size for the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from jaxdistill import recipes


def kd(name: str, *, classes: int, alpha: float, temperature: float) -> ConfigDict:
    """config.method of kd by the name of a row of KD.

    Args:
      classes: C of the task.
      alpha: as that implementation counts it; where it has none, not read.
      temperature: T; where it has none, not read.
    """
    return KD[name](classes, alpha, temperature)


def pkd(
    name: str, *, classes: int, alpha: float, temperature: float, beta: float, length: int = 128
) -> ConfigDict:
    """config.method of pkd by the name of a row of PKD.

    Args:
      beta: as that implementation counts it.
      length: of "oneflow", whose loss counts padding: config.data.buckets must be (length,) then.
    """
    return PKD[name](classes, alpha, temperature, beta, length)


def _kd(
    soft_weight: float,
    hard_weight: float,
    soft_loss: str,
    temperature: float = 1.0,
    *,
    squared: bool = False,
    on: str = "both",
) -> ConfigDict:
    return recipes.kd(
        soft_weight=soft_weight,
        hard_weight=hard_weight,
        soft_loss=soft_loss,
        temperature=temperature,
        temperature_on=on,
        temperature_squared=squared,
    )


KD: dict[str, Callable[[int, float, float], ConfigDict]] = {
    "pkd_repo": lambda C, a, T: _kd(a / C, 1 - a, "kl", T, squared=True),
    "pkd_paper": lambda C, a, T: _kd(a, 1 - a, "cross_entropy", T),
    "paddle": lambda C, a, T: _kd(a, 1 - a, "cross_entropy", T, on="teacher"),
    "oneflow_kd": lambda C, a, T: _kd((1 - a) / C, a, "cross_entropy", T),  # a 0.8, T 1
    "oneflow_bilstm": lambda C, a, T: _kd(a / C, 1 - a, "cross_entropy", T),  # a 0.7, T 1
    "oneflow_pkd": lambda C, a, T: _kd(a / C, 1 - a, "cross_entropy", T),  # a 0.2, T 1
    "taishan1994": lambda C, a, T: _kd(1 / C, 1.0, "kl", T),
    "tinybert": lambda C, a, T: _kd(1 / C, 0.0, "cross_entropy", T),  # T 1
    "tang": lambda C, a, T: _kd((1 - a) * C, a, "logit_mse"),  # a 0
    "paddle_bilstm": lambda C, a, T: _kd(1 - a, a, "logit_mse"),  # a 0
    "qiangsiwei": lambda C, a, T: _kd(1 - a, a, "probability_mse"),  # a 0.5
    "xiaopp123_v1": lambda C, a, T: _kd(1 - a, a, "logit_to_probability_mse"),  # a 0.5
    "xiaopp123_v2": lambda C, a, T: _kd(1 - a, a, "probability_mse"),  # a 0
    "textbrewer_ce": lambda C, a, T: _kd(1.0, 0.0, "cross_entropy", T),  # T 4
    "textbrewer_mse": lambda C, a, T: _kd(1.0, 0.0, "logit_mse", T),
    "torchdistill": lambda C, a, T: (
        _kd(1.0, 1.0, "logit_mse") if C == 1 else _kd(1 - a, a, "kl", T, squared=a > 0)
    ),
}
"""A row for each implementation, of (classes, alpha, temperature). In comments: its defaults."""

PKD: dict[str, Callable[[int, float, float, float, int], ConfigDict]] = {
    "pkd_repo": lambda C, a, T, b, length: recipes.pkd(
        KD["pkd_repo"](C, a, T), beta=b, over_layers="mean", over_width="mean"
    ),
    "pkd_paper": lambda C, a, T, b, length: recipes.pkd(KD["pkd_paper"](C, a, T), beta=b),
    "paddle": lambda C, a, T, b, length: recipes.pkd(
        KD["paddle"](C, a, T), beta=b, last_layer=True, over_width="mean"
    ),
    "textbrewer": lambda C, a, T, b, length: recipes.pkd(KD["textbrewer_ce"](C, a, T), beta=b),
    "oneflow": lambda C, a, T, b, length: recipes.pkd(
        KD["oneflow_pkd"](C, a, T),
        beta=b,
        last_layer=True,
        tokens="all",
        padded_length=length,
        normalise=False,
        over_width="mean",
        projection=True,
    ),
}
"""A row for each implementation, of (classes, alpha, temperature, beta, length)."""


def bilstm(name: str, **changes: Any) -> ConfigDict:
    """config.student of a BiLSTM by the name of a row of STUDENTS.

    Args:
      changes: of what the row or PLAIN says; see jaxdistill.bilstm_section.BiLstmConfig.
    """
    return ConfigDict({**PLAIN, **STUDENTS[name], **changes})


PLAIN: dict[str, Any] = {
    "view": "wordpieces",
    "lower": True,
    "vocabulary": "",  # all word pieces, or the words of the train texts
    "vocabulary_size": 0,  # no limit
    "min_count": 1,
    "max_words": 128,
    "vectors": "pretrained",
    "width": 300,
    "channels": 1,
    "hidden": 300,
    "directions": 2,
    "pooling": "final",
    "pairs": "product",
    "dense": 300,
    "activation": "tanh",
    "embedding_dropout": 0.0,
    "encoder_dropout": 0.0,
    "head_dropout": 0.0,
}
"""What the rows of STUDENTS do not say."""


STUDENTS: dict[str, dict[str, Any]] = {
    "tang": {
        "view": "words",
        "channels": 2,
        "hidden": 150,
        "dense": 200,
        "activation": "relu",
    },
    "paddle": {"pairs": "sum"},
    "paddle_zh": {"view": "jieba", "lower": False, "vectors": "random", "pairs": "sum"},
    "oneflow": {
        "view": "spaces",
        "lower": False,
        "vocabulary_size": 10_000,
        "max_words": 32,
        "vectors": "random",
        "directions": 1,
        "dense": 400,
        "activation": "relu",
        "head_dropout": 0.5,
    },
    "qiangsiwei": {
        "view": "jieba",
        "max_words": 50,
        "vectors": "random",
        "width": 256,
        "hidden": 256,
        "dense": 0,
        "embedding_dropout": 0.2,
    },
    "taishan1994": {
        "view": "characters",
        "lower": False,
        "vocabulary_size": 5_000,
        "max_words": 256,
        "vectors": "random",
        "hidden": 384,
        "pooling": "max",
        "dense": 0,
    },
    "xiaopp123": {
        "view": "jieba",
        "max_words": 50,
        "vectors": "random",
        "width": 64,
        "hidden": 128,
        "dense": 0,
        "embedding_dropout": 0.2,
    },
}
"""The BiLSTMs of other implementations, where they differ from PLAIN. Where those read
padding, this one does not; dropout that they set between the layers of an LSTM of one layer, and
that therefore does nothing there, is none here; a pair is two texts here, where OneFlow joins it
into one; vectors that they load and do not use (002) are random."""
