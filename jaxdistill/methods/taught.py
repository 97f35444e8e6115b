"""What a method asks of its teacher, wherever it comes from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.errors import UserError
from jaxdistill.types import Batch, Params, Taught


def needed(teacher: Any, what: str) -> None:
    """Raises UserError where there is no teacher to read from; what: what is read of it."""
    if teacher is None:
        raise UserError(
            f"The method reads of its teacher {what}, and this run has no teacher that could be "
            f"asked. Name a finished run or a classifier in config.teacher.run; "
            f"configs/kd_sst2.py shows how."
        )


def taught(teacher: Any, params: Params, batch: Batch, layers: tuple[int, ...] = ()) -> Taught:
    """What the teacher says of a batch: read from the batch where a cache filled it in.

    Else the teacher runs, without dropout, and no gradient flows into it.

    Args:
      teacher: the model; not called where the batch brings its answers.
      params: {"teacher": ...} among others.
      layers: of the teacher, from 1, whose cls is wanted; the stage's own.
    """
    if batch.teacher is not None:
        return batch.teacher
    needed(teacher, "its logits")
    outputs = jax.lax.stop_gradient(teacher.apply({"params": params["teacher"]}, batch))
    if not layers:
        return Taught(outputs.logits)
    return Taught(outputs.logits, jnp.swapaxes(outputs.hiddens[np.array(layers), :, 0], 0, 1))
