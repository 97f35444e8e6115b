"""A BiLSTM distilled from BERT on QQP: the same LSTM reads both questions.

    python -m jaxdistill.main --config configs/bilstm_qqp.py

Fine-tunes the teacher first if runs/teacher_qqp holds no finished run. Without network:

    python -m jaxdistill.main --config configs/bilstm_qqp.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

Seed 000's `bert_distill.py --task_name qqp --max_epoch 6 --lr 1.0 --batch_size 256 --n_iter 10`:
dev accuracy 0.8744 and F1 0.8296 published, the teacher 0.9058 and 0.8735. Its vectors:

    --config.student.vectors=GoogleNews-vectors-negative300.bin

Its encodings a and b are joined as [a; b; a + b; |a - b|]; the paper has a * b
(--config.student.pairs=product). It trains on 10 times as many pairs, in which both texts change:

    --config.augment.name=tang --config.augment.p_pos=0 --config.augment.ngram="(2,6)"

Here, as in the paper, there are three passes, which change the first text, the second and both: 30
times as many. There the linear layers start from -0.1 to 0.1. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def adadelta(*, epochs: int, learning_rate: float) -> ConfigDict:
    return recipes.plan(
        epochs=epochs,
        batch_size=256,
        optimizer="adadelta",
        learning_rate=learning_rate,
        betas=(0.9, 0.95),
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        clip=0.0,
        eval_steps=0,
    )


def get_config() -> ConfigDict:
    return recipes.distilled(
        "bilstm",
        "qqp",
        student=presets.bilstm("paddle"),
        method=presets.kd("paddle_bilstm", classes=2, alpha=0.0, temperature=1.0),
        stages={"kd": adadelta(epochs=6, learning_rate=1.0)},
        alone=adadelta(epochs=35, learning_rate=2.0),
        buckets=(8, 16, 24, 32, 64, 128),
    )
