"""Soft-label distillation on THUCNews titles (Hinton et al. 2015): a BERT of 6 layers, its teacher.

    python -m jaxdistill.main --config configs/kd_thucnews.py

Fine-tunes the teacher first if runs/teacher_thucnews holds no finished run. Without network:

    python -m jaxdistill.main --config configs/kd_thucnews.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

The loss and the optimizer of seed 003's `python kd_main.py`, T in 1, 5, 10 and 20, whose student is
a BiLSTM: test accuracy 0.9019 published at T 1, 0.9001, 0.8983 and 0.9010 at the others, and 0.8983
without distillation. There is no number for a BERT. Not measured here. The loss is the
cross-entropy plus a tenth of the Kullback-Leibler divergence, which the document divides by the
number of classes and not by 1/T^2, so that at high temperatures little of it is left. Hinton's own:

    --config.method.temperature=4 --config.method.temperature_squared=True
        --config.method.soft_weight=0.8 --config.method.hard_weight=0.2
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(epochs=10, learning_rate=2e-5, betas=(0.9, 0.98), epsilon=1e-8, clip=0.0)
    return recipes.distilled(
        "kd",
        "thucnews",
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=presets.kd("taishan1994", classes=10, alpha=0.0, temperature=1.0),  # it has no alpha
        stages={"kd": stage},
        alone=stage,
    )
