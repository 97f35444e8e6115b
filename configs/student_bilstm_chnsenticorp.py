"""The BiLSTM of configs/bilstm_chnsenticorp.py without distillation. Needs the package jieba.

    python -m jaxdistill.main --config configs/student_bilstm_chnsenticorp.py

Without network: --config.data.folder=zh.

Seed 000's `small.py --task_name senta --max_epoch 20 --batch_size 64 --optimizer adam --lr 3e-4`:
dev 0.9208 published. Its words are those of a list: --config.model.vocabulary=senta_word_dict.txt
keeps those that occur. Measured in 5 epochs without duplicates: benchmarks/RESULTS.md, dev 0.841.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(
        epochs=20,
        batch_size=64,
        optimizer="adam",
        learning_rate=3e-4,
        epsilon=1e-8,
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        clip=0.0,
        eval_steps=0,
    )
    model = presets.bilstm("paddle_zh")
    return recipes.alone("student_bilstm", "chnsenticorp", model=model, stage=stage)
