"""The BiLSTM of configs/bilstm_qqp.py without distillation: from labels alone, without a teacher.

    python -m jaxdistill.main --config configs/student_bilstm_qqp.py

Without network: --config.data.folder=glue --config.model.vectors=bert-base-uncased, a folder.

Seed 000's `small.py --task_name qqp --max_epoch 35 --batch_size 256 --lr 2.0`: dev accuracy 0.8562
and F1 0.8061 published. It had Google's vectors for its word pieces: vectors of a file leave these
without a BERT to name them, so that this is configs/bilstm_qqp.py --config.baseline=True with

    --config.student.vectors=GoogleNews-vectors-negative300.bin

or here with whole words, --config.model.view=words and the same of config.model. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(
        epochs=35,
        batch_size=256,
        optimizer="adadelta",
        learning_rate=2.0,
        betas=(0.9, 0.95),
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        clip=0.0,
        eval_steps=0,
    )
    model = presets.bilstm("paddle", vectors="bert-base-uncased")
    buckets = (8, 16, 24, 32, 64, 128)
    return recipes.alone("student_bilstm", "qqp", model=model, stage=stage, buckets=buckets)
