"""A BiLSTM of characters distilled from BERT on THUCNews' titles, ten classes.

    python -m jaxdistill.main --config configs/bilstm_thucnews.py

Fine-tunes the teacher first if runs/teacher_thucnews holds no finished run. Without network:

    python -m jaxdistill.main --config configs/bilstm_thucnews.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

Seed 003's model (`kd_main.py`: 5,000 characters, 300 numbers each, 384 a direction, the largest
value over time) on other texts than its own, which are articles: configs/bilstm_cnews.py has those,
its settings and what it published. Here the learning rate is one that an LSTM learns from in ten
epochs (its 2e-5, in batches of 32, is too small), dropout does something, and the soft loss is
summed over classes and multiplied by the square of the temperature. With its own:

    --config.stages.kd.learning_rate=2e-5 --config.stages.kd.batch_size=32
        --config.stages.kd.clip=0 --config.student.embedding_dropout=0
        --config.method.soft_weight=0.1 --config.method.temperature_squared=False
        --config.method.temperature=1        # or 5, 10, 20

Vectors of characters, from a file: --config.student.vectors=tencent.txt --config.student.width=200.
Measured on 9,000 rows, taught by three small BERTs: benchmarks/RESULTS.md, dev 0.788 (alone 0.782).
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(
        epochs=10,
        batch_size=128,
        learning_rate=1e-3,
        betas=(0.9, 0.98),
        epsilon=1e-8,
        eval_steps=0,
    )
    return recipes.distilled(
        "bilstm",
        "thucnews",
        student=presets.bilstm("taishan1994", max_words=64, embedding_dropout=0.2),
        method=recipes.kd(soft_weight=1.0, hard_weight=1.0, soft_loss="kl", temperature=5.0),
        stages={"kd": stage},
        alone=stage,
        buckets=(16, 24, 32, 64),
    )
