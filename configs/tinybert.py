"""TinyBERT (Jiao et al. 2020) on any task: a BERT of 3 layers taught by a fine-tuned one.

    python -m jaxdistill.main --config configs/tinybert.py:rte

The settings are seed 002's but for the epochs, for every task alike (configs/tinybert_sst2.py says
more); a small task wants more: `--config.stages.intermediate.epochs=10`. What config.augment adds
to STS-B is for the first stage alone, as published.
Published on test, with 4 layers of 312 and augmented data: MRPC 0.864 (F1), RTE 0.666, CoLA 0.441
(Matthews). Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes
from jaxdistill.data.tasks import known_task


def get_config(task: str = "") -> ConfigDict:
    config = recipes.distilled(
        "tinybert",
        known_task(task).name,
        student=recipes.start("teacher", layers=3, pick="skip"),
        method=recipes.tinybert(),
        stages={
            "intermediate": recipes.plan(
                epochs=1, learning_rate=5e-5, schedule="constant", warmup=0.0
            ),
            "prediction": recipes.plan(epochs=2, learning_rate=3e-5),
        },
        alone=recipes.plan(epochs=2, learning_rate=5e-5),
    )
    if task == "stsb":
        config.augment.stages = ("intermediate",)
    return config
