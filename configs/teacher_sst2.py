"""BERT fine-tuned on SST-2 (METHODS: Devlin et al. 2019, section 4.1).

    python -m jaxdistill.main --config configs/teacher_sst2.py

Offline, with GLUE's files and a checkpoint in local folders:

    python -m jaxdistill.main --config configs/teacher_sst2.py \
        --config.data.folder=glue --config.model.source=bert-base-uncased
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """Every value in force."""
    config = ConfigDict()
    config.version = 1
    config.name = "teacher_sst2"
    config.workdir = placeholder(str)  # runs/<name>
    config.seed = 0
    config.task = "sst2"
    config.checkpoint_minutes = 10.0
    config.log_steps = 50

    config.method = ConfigDict({"name": "finetune"})

    config.model = ConfigDict()
    config.model.source = "bert-base-uncased"
    config.model.dropout = placeholder(float)  # the source's own rates

    config.data = ConfigDict()
    config.data.folder = ""  # the hub
    config.data.train_rows = 0  # all
    config.data.max_length = 128
    config.data.buckets = (16, 32, 64, 128)

    config.stages = ConfigDict()
    config.stages.finetune = ConfigDict()
    config.stages.finetune.epochs = 3
    config.stages.finetune.batch_size = 32
    config.stages.finetune.optimizer = "adamw"
    config.stages.finetune.learning_rate = 5e-5
    config.stages.finetune.betas = (0.9, 0.999)
    config.stages.finetune.epsilon = 1e-6
    config.stages.finetune.schedule = "linear"
    config.stages.finetune.power = 1.0
    config.stages.finetune.warmup = 0.1
    config.stages.finetune.weight_decay = 0.01
    config.stages.finetune.clip = 1.0
    config.stages.finetune.precision = "bfloat16"
    config.stages.finetune.eval_steps = 500
    return config
