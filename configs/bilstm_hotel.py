"""A small BiLSTM of Chinese words distilled from BERT on hotel reviews. Needs the package jieba.

    python -m jaxdistill.main --config configs/bilstm_hotel.py

Fine-tunes the teacher first if runs/teacher_hotel holds no finished run. Without network:

    python -m jaxdistill.main --config configs/bilstm_hotel.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

Seed 002's `distill.py` (which distils only with --distill 1): 64 numbers a word, 128 a direction,
the squared difference of probabilities, Adam at 1e-4 for 15 epochs of batches of 64. Its results
are a picture. It reads padding, scores with dropout on, and trains on the file of 8,000 rows, which
is dev here. With its earlier loss, half of it on labels:

    --config.method.soft_loss=logit_to_probability_mse --config.method.soft_weight=0.5
        --config.method.hard_weight=0.5

Not measured here.
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
    return recipes.distilled(
        "bilstm",
        "hotel",
        student=presets.bilstm("xiaopp123"),
        method=presets.kd("xiaopp123_v2", classes=2, alpha=0.0, temperature=1.0),
        stages={"kd": stage},
        alone=stage,
    )
