"""The BiLSTM of configs/bilstm_hotel.py without distillation. Needs the package jieba.

    python -m jaxdistill.main --config configs/student_bilstm_hotel.py

Without network: --config.data.folder=zh. Seed 002's `distill.py` without --distill 1, which is how
its document runs it. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(
        epochs=15,
        batch_size=64,
        optimizer="adam",
        learning_rate=1e-4,
        epsilon=1e-8,
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        clip=0.0,
        eval_steps=0,
    )
    model = presets.bilstm("xiaopp123")
    return recipes.alone("student_bilstm", "hotel", model=model, stage=stage)
