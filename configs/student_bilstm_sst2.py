"""The BiLSTM of configs/bilstm_sst2.py without distillation: from labels alone, without a teacher.

    python -m jaxdistill.main --config configs/student_bilstm_sst2.py

Word pieces and vectors are those of a BERT that is not trained here; without network, in a folder:

    --config.data.folder=glue --config.model.vectors=bert-base-uncased

Random ones, for words that need no BERT: --config.model.view=words --config.model.vectors=random.
Seed 000's `small.py --task_name sst-2`, dev 0.8532 published, had Google's vectors, no dropout that
did anything, and Adadelta (lr 1.0, rho 0.95) for 10 epochs of batches of 64. Vectors of a file
leave word pieces without a BERT to name them, so that this is configs/bilstm_sst2.py with
--config.baseline=True and what it shows, under config.alone. Measured: benchmarks/RESULTS.md.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    model = presets.bilstm(
        "paddle", vectors="bert-base-uncased", embedding_dropout=0.3, head_dropout=0.3
    )
    stage = recipes.plan(
        epochs=6,
        batch_size=128,
        optimizer="adam",
        learning_rate=1e-3,
        epsilon=1e-8,
        warmup=0.0,
        weight_decay=0.0,
        eval_steps=0,
    )
    buckets = (8, 16, 24, 32, 48, 64, 128)
    return recipes.alone("student_bilstm", "sst2", model=model, stage=stage, buckets=buckets)
