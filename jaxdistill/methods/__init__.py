"""Methods: frozen dataclasses that say which stages there are and what each one's loss is."""

from __future__ import annotations

from jaxdistill.methods.finetune import Finetune, Score
from jaxdistill.methods.general import General
from jaxdistill.methods.kd import Kd
from jaxdistill.methods.pkd import Pkd
from jaxdistill.methods.pretrain import Pretrain
from jaxdistill.methods.theseus import Theseus
from jaxdistill.methods.tinybert import TinyBert

METHODS = {
    "finetune": Finetune,
    "score": Score,
    "kd": Kd,
    "pkd": Pkd,
    "theseus": Theseus,
    "tinybert": TinyBert,
    "general": General,
    "pretrain": Pretrain,
}
"""The methods by the name a config gives (config.method.name)."""
