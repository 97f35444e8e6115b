"""The BiLSTM of configs/bilstm_thucnews.py without distillation: from labels, without a teacher.

    python -m jaxdistill.main --config configs/student_bilstm_thucnews.py

Without network: --config.data.folder=zh. Seed 003's `main.py` (bilstm), on titles; its settings are
those of configs/student_bilstm_cnews.py. Its other scripts, each with --config.stages.finetune. in
front of the name:

    main_with_gradient_accumulation.py    batch_size=512 accumulate=4 learning_rate=4e-3
    main_with_apex.py                     precision=float16, with accumulation as above or without
    main_with_attack.py                   adversary=fgm, or adversary=pgd

Measured on 9,000 rows, every one of them: benchmarks/RESULTS.md, dev 0.781 to 0.794.
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
    model = presets.bilstm("taishan1994", max_words=64, embedding_dropout=0.2)
    buckets = (16, 24, 32, 64)
    return recipes.alone("student_bilstm", "thucnews", model=model, stage=stage, buckets=buckets)
