"""Methods: frozen dataclasses that say which stages there are and what each one's loss is."""

from __future__ import annotations

from jaxdistill.methods.finetune import Finetune, Score
from jaxdistill.methods.tinybert import TinyBert

METHODS = {"finetune": Finetune, "score": Score, "tinybert": TinyBert}
"""The methods by the name a config gives (config.method.name)."""
