"""Soft-label distillation on ChnSentiCorp (Hinton et al. 2015): a BERT of 6 layers and its teacher.

    python -m jaxdistill.main --config configs/kd_chnsenticorp.py

Fine-tunes the teacher first if runs/teacher_chnsenticorp holds no finished run. Without network:

    python -m jaxdistill.main --config configs/kd_chnsenticorp.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

Seed 001's `run_patient_kd.py --task_name chnsenticorp --num_train_epochs 30 --warmup_proportion 0.1
--beta 0 --alpha 0.8 --T 0.8` (BERT6-KD), where the teacher's checkpoint was
hfl/chinese-bert-wwm-ext. Its document publishes no number; a later version of it dev 0.9192, and
0.9092 without distillation. Not measured here.

A temperature below 1 sharpens the teacher's labels; Hinton's softens them, on both sides:

    --config.method.temperature=4 --config.method.temperature_on=both
        --config.method.temperature_squared=True
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(epochs=30, learning_rate=5e-5, weight_decay=0.0, eval_steps=100)
    return recipes.distilled(
        "kd",
        "chnsenticorp",
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=presets.kd("paddle", classes=2, alpha=0.8, temperature=0.8),
        stages={"kd": stage},
        alone=stage,
    )
