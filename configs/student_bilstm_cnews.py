"""The BiLSTM of configs/bilstm_cnews.py without distillation: from labels, without a teacher.

    python -m jaxdistill.main --config configs/student_bilstm_cnews.py

Without network: --config.data.folder=zh. Seed 003's `main.py` (bilstm): test accuracy 0.8983 and
macro F1 0.8934 published. Its other scripts, each with --config.stages.finetune. in front of the
name:

    main_with_gradient_accumulation.py    batch_size=128 accumulate=4 learning_rate=8e-5   0.9191
    main_with_apex.py                     precision=float16                                0.9001
                                          both                                             0.9154
    main_with_attack.py                   adversary=fgm, or adversary=pgd                  0.8983

(the last row's is the first's: its checkpoint was the one scored). What says nothing of precision
is float32 there, and bfloat16 here: precision=float32. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(
        epochs=10,
        learning_rate=2e-5,
        betas=(0.9, 0.98),
        epsilon=1e-8,
        clip=0.0,
        eval_steps=100,
    )
    model = presets.bilstm("taishan1994")
    return recipes.alone("student_bilstm", "cnews", model=model, stage=stage)
