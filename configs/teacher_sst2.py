"""BERT fine-tuned on SST-2 (Devlin et al. 2019, section 4.1), the teacher of the others.

    python -m jaxdistill.main --config configs/teacher_sst2.py

Without network, from local folders with GLUE's files and a checkpoint:

    python -m jaxdistill.main --config configs/teacher_sst2.py \
        --config.data.folder=glue --config.model.source=bert-base-uncased

Seed 004's `bash run_train_teacher.sh`, dev 0.922 published, and seed 000's `run_bert_finetune.py
--task_name SST-2`, 0.930 published:

    --config.stages.finetune.learning_rate=2e-5 --config.stages.finetune.weight_decay=1e-4
    --config.stages.finetune.learning_rate=3e-5 --config.stages.finetune.batch_size=128

With bert-base-uncased not measured here; from a checkpoint of 6 layers of 384, dev 0.8922 (one
run), and 0.8872 on 20,000 rows (the mean of three): benchmarks/RESULTS.md.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("teacher_sst2", "sst2")
    config.method = ConfigDict({"name": "finetune"})
    config.model = recipes.start("bert-base-uncased")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    config.stages = ConfigDict({"finetune": recipes.plan(epochs=3, learning_rate=5e-5)})
    return config
