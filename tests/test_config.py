"""The command line, in this process; test_main.py runs it as a user does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from jaxdistill import augmentation, bilstm_section, command_line, config, optimizer, recipes
from jaxdistill.config import checked, from_command_line
from jaxdistill.errors import UserError
from jaxdistill.methods import METHODS
from jaxdistill.models import arithmetic
from jaxdistill.sections import section
from jaxdistill.types import StagePlan

TEACHER = "--config=configs/teacher_sst2.py"
STUDENT = "--config=configs/kd_sst2.py"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def parse(*words):
    return from_command_line(["main", *words])


def test_overrides_reach_their_sections():
    config = parse(
        TEACHER,
        "--workdir=elsewhere",
        "--config.data.train_rows=7",
        "--config.data.max_length=32",
        "--config.data.buckets=(16, 32)",
        "--config.model.dropout=0.0",
        "--config.stages.finetune.betas=(0.8, 0.9)",
    )
    assert (config.workdir, config.data.train_rows) == ("elsewhere", 7)
    assert config.data.buckets == (16, 32)
    assert config.model.dropout == 0.0
    assert config.stages["finetune"].betas == (0.8, 0.9)


def test_the_workdir_defaults_to_the_recipes_name():
    assert parse("--config", "configs/teacher_sst2.py").workdir == "runs/teacher_sst2"


def test_the_hash_is_of_what_makes_the_run():
    one = parse(TEACHER)
    assert one.hash() == parse(TEACHER, "--workdir=b", "--config.checkpoint_minutes=1").hash()
    assert one.hash() != parse(TEACHER, "--config.seed=1").hash()


def test_a_recipe_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch):
    import jaxdistill.command_line as module

    shipped = tmp_path / "site" / "configs"
    shipped.mkdir(parents=True)
    (shipped / "teacher_sst2.py").write_text(Path("configs/teacher_sst2.py").read_text())
    monkeypatch.setattr(module, "__file__", str(shipped.parent / "config.py"))
    monkeypatch.chdir(tmp_path)
    assert parse(TEACHER).task == "sst2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--config is missing"),
        (["--config"], "no config file"),
        (["--config=configs/nope.py"], r"no config file 'configs/nope.py'. Recipes.*teacher"),
        (["--config=pyproject.toml"], "is not Python"),
        (["--config=configs/pretrain.py:own"], "configs/pretrain.py takes no task. Leave out :own"),
        ([TEACHER, "--config.data.train_row=7"], "Did you mean --config.data.train_rows"),
        ([TEACHER, "data.train_rows=7"], "Did you mean --config.data.train_rows=7"),
        ([TEACHER, "more"], "'more' on the command line is not a flag"),
        ([TEACHER, "--config.data.train_rows=many"], "train_rows=many"),
        ([TEACHER, "--config.data=3"], "config.data=3"),
        ([TEACHER, "--workdri=x"], "Did you mean: workdir"),
        ([TEACHER, "--config.stages.finetune.betas=(0.9,'x')"], "betas"),
        ([TEACHER, "--config.version=2"], "config.version is 2"),
        ([TEACHER, "--config.stages.finetune.epochs=0"], "epochs is 0, and must be at least 1"),
        ([TEACHER, "--config.stages.finetune.warmup=10"], "warmup is 10.0, and must be a fraction"),
        ([TEACHER, "--config.stages.finetune.betas=(0.9,)"], "betas is .0.9,., which is no tuple"),
        ([TEACHER, "--config.stages.finetune.betas=(0.9,1.0)"], "two numbers from 0 to below 1"),
        ([TEACHER, "--config.stages.finetune.epsilon=0"], "epsilon is 0.0, and must be above 0"),
        ([TEACHER, "--config.stages.finetune.schedule=lineer"], "one of linear, polynomial"),
        ([TEACHER, "--config.stages.finetune.optimizer=adamW"], "one of adamw, adam, adadelta"),
        ([STUDENT, "--config.alone.precision=bf16"], "config.alone.precision is bf16, and must be"),
        ([STUDENT, "--config.stages.kd.clip=inf"], "clip is inf, and must be 0"),
        ([TEACHER, "--config.model.dropout=1.0"], "config.model.dropout is 1.0, and must be from"),
        ([STUDENT, "--config.student.layers=-2"], "student.layers is -2, and must be at least 1"),
        ([STUDENT, "--config.teacher.margin=nan"], "margin is nan, and must be a number"),
        ([TEACHER, "--config.log_steps=0"], "config.log_steps is 0, and must be at least 1"),
        ([TEACHER, "--config.ledger_steps=-1"], "ledger_steps is -1, and must be 0"),
    ],
)
def test_what_is_not_understood_is_said(words, said):
    with pytest.raises(UserError, match=said):
        parse(*words)


def test_what_a_config_file_raises_is_said_in_a_line(tmp_path):
    path = tmp_path / "mine.py"
    for line, said in (
        ("{}['rows']", "KeyError: 'rows'"),
        ("len(3)", "TypeError: object of type"),
        ("1 / 0", "ZeroDivisionError: division"),
        ("open('nowhere')", "OSError: .*nowhere"),
        ("__import__('nowhere')", "ModuleNotFoundError: No module"),
    ):
        path.write_text(f"def get_config():\n    return {line}\n")
        with pytest.raises(UserError) as error:
            parse(f"--config={path}")
        start = re.escape(f"The config file (--config={path}) raises ")
        assert re.match(start + said, str(error.value))


def test_a_section_names_every_key_that_does_not_fit():
    @dataclasses.dataclass
    class Section:
        rate: float
        steps: int
        name: str | None

    with pytest.raises(UserError) as error:
        section(Section, {"rate": "fast", "step": 3, "name": None}, "config.x")
    text = str(error.value)
    assert "config.x.steps is missing" in text
    assert "config.x.step is not a key of it (did you mean steps?)" in text
    assert "config.x.rate is 'fast', which is no float" in text
    assert section(Section, {"rate": 1, "steps": 2, "name": None}, "x") == Section(1.0, 2, None)


def test_the_names_that_are_checked_are_those_there_are():
    assert set(config.OPTIMIZERS) == set(optimizer.OPTIMIZERS)
    assert set(config.PRECISIONS) == {"float32", *arithmetic.NARROW}
    plan = StagePlan(**recipes.plan(epochs=1, learning_rate=1.0).to_dict())
    for name in config.SCHEDULES:
        optimizer.make_schedule(dataclasses.replace(plan, schedule=name), 10)


def test_the_methods_that_are_named_elsewhere_are_methods():
    told = {*augmentation.FROM_LABELS, *augmentation.FROM_TEXT, *bilstm_section.METHODS}
    assert told <= set(METHODS)


def test_true_is_no_number():
    given = parse(TEACHER).plain().items()
    plain = {name: value for name, value in given if value is not None} | {"seed": True}
    plain["data"]["buckets"] = tuple(plain["data"]["buckets"])
    plain["stages"]["finetune"]["betas"] = tuple(plain["stages"]["finetune"]["betas"])
    with pytest.raises(UserError, match="config.seed is True"):
        checked(plain)


def test_a_section_that_adds_nothing_needs_no_keys():
    plain = command_line.parse(["main", STUDENT])
    assert checked({**plain, "augment": {"name": "none"}}).augment is None


def test_a_teacher_that_is_given_a_start_is_fine_tuned():
    files = [f"--config.data.{key}={key}" for key in ("train", "text", "label")]
    own = "--config=configs/own_data.py", *files
    plan_of = "--config.teacher.recipe.stages.finetune"
    rate, epochs = f"{plan_of}.learning_rate", f"{plan_of}.epochs"
    for words, wanted in (
        ((), ("random", 4, 12, 5e-4)),
        (("--config.teacher.source=random",), ("random", 4, 12, 5e-4)),
        (("--config.teacher.source=bert",), ("bert", None, 5, 2e-5)),
        (("--config.teacher.source=bert", rate + "=3e-4"), ("bert", None, 5, 3e-4)),
        (("--config.teacher.source=bert", epochs + "=10"), ("bert", None, 10, 2e-5)),
    ):
        teacher = parse(*own, *words).teacher
        assert teacher is not None and teacher.recipe is not None
        model, plan = teacher.recipe["model"], teacher.recipe["stages"]["finetune"]
        found = model["source"], model["layers"], plan["epochs"], plan["learning_rate"]
        assert found == wanted
