"""The recipes of KD, PKD and Theseus as they are run, and where a student and its twin start."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from jaxdistill import evaluate, running
from jaxdistill.bench import dev_logits
from jaxdistill.config import checked, from_command_line
from jaxdistill.data.tasks import TASKS, find_task
from jaxdistill.errors import Preempted, UserError
from jaxdistill.files import read_json
from jaxdistill.finished_teacher import tell_origin, tell_recipe
from jaxdistill.log import read_metrics
from jaxdistill.methods.kd import Kd
from jaxdistill.models.sources import load_pretrained
from jaxdistill.planning import make_method
from jaxdistill.preemption import Signals
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run
from jaxdistill.starts import make_start, make_twin
from jaxdistill.teachers import open_teacher
from jaxdistill.trees import flatten

SHAPE = dataclasses.replace(tiny.SHAPE, layers=4, initial_std=0.1)
STAGES = {
    "student": ("finetune",),
    "kd": ("kd",),
    "pkd": ("pkd",),
    "theseus": ("replace", "successor"),
}
RECIPES = ("teacher", "student", "kd", "pkd", "tinybert", "theseus")
ONEFLOW = ("oneflow.py:kd", "oneflow.py:pkd", "oneflow.py:tinybert")
SST2 = find_task("sst2")


@pytest.fixture(scope="module", autouse=True)
def _at_the_root(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_sst2(tmp_path_factory.mktemp("glue"), train=200)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("hub") / "tiny-bert", shape=SHAPE)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "teacher"


@pytest.fixture(scope="module")
def configured(data, checkpoint, teacher):
    """(recipe, run folder, overrides as a__b=value) -> Config."""

    def configured(name: str, run: Path, **overrides):
        stages = [f"stages.{stage}" for stage in STAGES[name]]
        sections = (*stages, "alone", "teacher.recipe.stages.finetune")
        small = {
            "data.folder": data,
            **{f"{where}data.buckets": (32,) for where in ("", "teacher.recipe.")},
            **{f"{where}data.max_length": 32 for where in ("", "teacher.recipe.")},
        }
        values = {
            **{f"{s}.{k}": v for s in sections for k, v in tiny.PLAN.items()},
            **small,
            "teacher.recipe.stages.finetune.epochs": 4,
            "teacher.source": checkpoint,
            "teacher.run": teacher,
            "student.layers": 2,
            **{k.replace("__", "."): v for k, v in overrides.items()},
        }
        words = [f"--config=configs/{name}_sst2.py", f"--workdir={run}"]
        return from_command_line(
            ["main", *words, *(f"--config.{k}={v}" for k, v in values.items())]
        )

    return configured


@pytest.fixture(scope="module")
def theseus(configured, tmp_path_factory):
    run = tmp_path_factory.mktemp("theseus") / "student"
    return run, ensure_run(configured("theseus", run, baseline=True))


@pytest.mark.parametrize("name", ["kd", "pkd"])
def test_a_recipe_end_to_end(name, configured, tmp_path):
    report = ensure_run(configured(name, tmp_path / name, ledger_steps=30))
    assert report["method"] == name
    assert report["metrics"]["dev"]["accuracy"] > 0.9
    assert report["parameters"]["total"] < report["teacher"]["parameters"]["total"]
    assert read_json(tmp_path / name / "teacher" / "cache.json") == {name: True}  # served by it
    lines = [line for line in read_metrics(tmp_path / name) if line["kind"] == "train"]
    assert lines
    wanted = {"hard", "soft", *(("patient",) if name == "pkd" else ())}
    shares = report["ledger"][name]
    assert shares.keys() == wanted
    assert sum(shares.values()) == pytest.approx(1)
    for line in lines:
        assert line["loss"] == pytest.approx(sum(line[term] for term in wanted), rel=1e-4)


def test_theseus_keeps_everything_but_its_layers_to_the_bit(theseus, teacher):
    run, report = theseus
    assert [stage["name"] for stage in report["stages"]] == ["replace", "successor"]
    assert report["stages"][0]["steps"] == 75
    assert report["metrics"]["dev"]["accuracy"] > 0.9
    theirs = open_run(teacher, print).params
    for stage in ("replace", "successor"):
        ours = open_run(run, print, stage=stage).params
        assert set(ours) == {"embeddings", "layers", "pooler", "classifier"}
        for path, leaf in flatten(ours).items():
            expected = flatten(theirs)[path]
            if path.startswith("layers/"):
                assert leaf.shape[0] == 2
                assert not np.array_equal(leaf, expected[:2]), path
            else:
                np.testing.assert_array_equal(leaf, expected, err_msg=path)


def test_evaluate_the_first_stage(theseus, capsys):
    run, report = theseus
    evaluate.main(["evaluate", str(run), "--stage=replace", "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["stage"] == "replace"
    expected = report["stages"][0]["metrics"]["accuracy"]
    assert said["metrics"]["accuracy"] == pytest.approx(expected)


def test_theseus_interrupted_again_and_again_ends_with_the_same_bits(
    theseus, configured, tmp_path, monkeypatch
):
    """At every 13th moment at which a run can stop; each attempt is a new call."""
    run = tmp_path / "student"
    times = 0

    def asked(self):
        nonlocal times
        times += 1
        return times % 13 == 0

    monkeypatch.setattr(Signals, "asked", asked)
    stops = 0
    while not (run / "report.json").exists():
        try:
            ensure_run(configured("theseus", run, baseline=True))
        except Preempted:
            stops += 1
    assert stops >= 3
    for part in ("", "alone"):
        one, other = (read_json(f / part / "report.json") for f in (theseus[0], run))
        assert one["parameters_sha256"] == other["parameters_sha256"], part


# ---- where they start


def starting(config, teacher):
    said = []
    run = open_teacher(teacher, SST2, said.append)
    start = make_start(config, SST2, run, (), teacher, said.append)
    return run, start, make_twin(config, SST2, run, start, said.append), said


def test_a_teacher_that_was_trained_from_elsewhere_is_told(theseus, teacher, checkpoint):
    said = []
    run = open_teacher(teacher, SST2, said.append)
    tell_origin(run, str(checkpoint), said.append)
    assert said == []
    tell_origin(run, "bert-wwm", said.append)
    assert f"trained from {checkpoint}, not from config.teacher.source=bert-wwm" in said[0]


def test_a_teacher_that_was_trained_otherwise_is_told(theseus, teacher, configured, tmp_path):
    said = []
    run, plain = open_teacher(teacher, SST2, said.append), read_json(teacher / "config.json")
    about = configured("theseus", tmp_path).teacher
    tell_recipe(
        run, dataclasses.replace(about, recipe={**plain, "workdir": "runs/other"}), said.append
    )
    tell_recipe(run, dataclasses.replace(about, recipe=None), said.append)
    assert said == []
    seed = plain["seed"]
    tell_recipe(run, dataclasses.replace(about, recipe={**plain, "seed": seed + 1}), said.append)
    assert f"config.teacher.recipe would train it: seed {seed}, not {seed + 1}. If" in said[0]


def same(params, expected, rows):
    flat, wanted = flatten(params), flatten(expected)
    return flat.keys() == wanted.keys() and all(
        np.array_equal(leaf, wanted[p][rows] if p.startswith("layers/") else wanted[p])
        for p, leaf in flat.items()
    )


@pytest.mark.parametrize(("pick", "rows"), [("first", [0, 1]), ("last", [2, 3]), ("skip", [1, 3])])
def test_a_student_of_the_fine_tuned_teacher_and_its_twin_of_the_pre_trained_one(
    pick, rows, theseus, teacher, checkpoint, configured, tmp_path
):
    config = configured("pkd", tmp_path, student__source="teacher", student__pick=pick)
    run, start, (twin, words), said = starting(config, teacher)
    assert same(start.params, jax.device_get(run.params), rows)
    assert same(twin.params, load_pretrained(str(checkpoint), classes=2).params, rows)
    assert (twin.shape, twin.tokenizer) == (start.shape, start.tokenizer)
    assert f"the same layers of {checkpoint}" in words
    assert any(words in line for line in said)


@pytest.mark.parametrize("name", ["student", "pkd"])
def test_a_student_of_the_pre_trained_teacher_is_its_own_twin(
    name, theseus, teacher, checkpoint, configured, tmp_path
):
    _, start, (twin, _), _ = starting(configured(name, tmp_path), teacher)
    assert same(start.params, load_pretrained(str(checkpoint), classes=2).params, [0, 1])
    assert twin is start


def test_sizes_that_the_source_brings_itself_are_told(
    theseus, teacher, checkpoint, configured, tmp_path
):
    given = {"student__source": checkpoint, "student__layers": 1, "student__width": SHAPE.width}
    said = starting(configured("kd", tmp_path, **given), teacher)[-1]
    (told,) = [text for text in said if "is not read" in text]
    assert told == f"config.student.layers=1 is not read: {checkpoint} brings layers 4"
    said = starting(configured("kd", tmp_path), teacher)[-1]
    assert not [text for text in said if "is not read" in text]


def test_the_report_says_where_the_twin_started(theseus, checkpoint):
    run, report = theseus
    assert f"the same layers of {checkpoint}" in report["baseline"]["start"]
    assert f"the same layers of {checkpoint}" in (run / "report.md").read_text()


def adopted(teacher, folder, method, **model):
    """The teacher's run as if it had come about in another way."""
    folder.mkdir()
    for part in teacher.iterdir():
        if part.name != "config.json":
            (folder / part.name).symlink_to(part)
    config = read_json(teacher / "config.json")
    config["method"]["name"] = method
    config["model"] |= model
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_what_an_adopted_teacher_was_trained_from_is_not_known(
    theseus, teacher, configured, tmp_path
):
    folder = adopted(teacher, tmp_path / "adopted", "score")
    config = configured("theseus", tmp_path)
    _, start, (twin, words), said = starting(config, folder)
    assert twin is start
    assert "not free of it" in words
    assert any("not free of it" in line for line in said)
    with pytest.raises(UserError, match="does not say which checkpoint.*source=teacher"):
        starting(configured("pkd", tmp_path), folder)


def test_a_teacher_from_nothing_has_a_twin_from_nothing(theseus, teacher, configured, tmp_path):
    folder = adopted(teacher, tmp_path / "random", "finetune", source="random")
    run, _, (twin, words), _ = starting(configured("theseus", tmp_path), folder)
    assert "the same layers of random" in words
    assert not same(twin.params, jax.device_get(run.params), [0, 1])
    assert twin.params["layers"]["query"]["kernel"].std() == pytest.approx(0.1, rel=0.1)


def test_a_pre_trained_checkpoint_that_is_gone_is_said_before_anything_trains(
    theseus, teacher, configured, tmp_path
):
    folder = adopted(teacher, tmp_path / "moved", "finetune", source=str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"config.baseline=True.*gone.*baseline=False"):
        starting(configured("theseus", tmp_path), folder)


def test_theseus_takes_over_its_predecessors_embeddings(theseus, teacher, configured, tmp_path):
    config = configured("theseus", tmp_path, student__source="pretrained")
    with pytest.raises(UserError, match="embeddings, pooler or classifier.*source=teacher"):
        starting(config, teacher)
    again = configured("theseus", tmp_path, student__source=f"{theseus[0]}:replace")
    starting(again, teacher)  # the second stage from a saved first one


# ---- the recipes of every task


def parse(name: str, *flags: str):
    return from_command_line(["main", f"--config=configs/{name}", *flags])


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_of_any_task_is_for_sst2_the_one_that_is_written_out(name):
    assert parse(f"{name}.py:sst2") == parse(f"{name}_sst2.py")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_every_recipe_and_its_students_carry_its_teacher(task):
    teacher = parse(f"teacher.py:{task}")
    assert (teacher.task, teacher.workdir) == (task, f"runs/teacher_{task}")
    for name in (*(f"{name}.py:{task}" for name in RECIPES[1:]), *(f"{o}_{task}" for o in ONEFLOW)):
        student = parse(name)
        assert student.task == task
        assert student.teacher.run == teacher.workdir
        assert checked(dict(student.teacher.recipe)) == teacher
        fields = dict(student.method)
        method = make_method(fields.pop("name"), fields)
        if isinstance(method, Kd):
            assert student.alone == next(iter(student.stages.values()))


ADAMW_003 = {
    "epochs": 10,
    "learning_rate": 2e-5,
    "betas": (0.9, 0.98),
    "epsilon": 1e-8,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "clip": 0.0,
    "batch_size": 32,
}
OF_CHINESE = {
    "teacher_chnsenticorp": ({"finetune": {"epochs": 3, "learning_rate": 3e-5}}, {}),
    "student_chnsenticorp": (
        {"finetune": {"epochs": 40, "learning_rate": 5e-5, "warmup": 0.0, "batch_size": 32}},
        {},
    ),
    "kd_chnsenticorp": (
        {"kd": {"epochs": 30, "learning_rate": 5e-5, "warmup": 0.1, "eval_steps": 100}},
        {"soft_weight": 0.8, "hard_weight": 0.2, "temperature": 0.8, "temperature_on": "teacher"},
    ),
    "pkd_chnsenticorp": (
        {"pkd": {"epochs": 40, "warmup": 0.2}},
        {"soft_weight": 0.8, "temperature": 0.6, "beta": 800.0, "strategy": "skip"},
    ),
    "tinybert_chnsenticorp": (
        {
            "intermediate": {"epochs": 10, "learning_rate": 5e-5, "schedule": "constant"},
            "prediction": {"epochs": 3, "learning_rate": 3e-5, "eval_steps": 100},
        },
        {"temperature": 1.0},
    ),
    "theseus_chnsenticorp": (
        {name: {"epochs": 5, "learning_rate": 1e-5} for name in ("replace", "successor")},
        {"rate": 0.5},
    ),
    "teacher_thucnews": ({"finetune": ADAMW_003}, {}),
    "student_thucnews": ({"finetune": ADAMW_003}, {}),
    "kd_thucnews": (
        {"kd": ADAMW_003},
        {"soft_weight": 0.1, "hard_weight": 1.0, "soft_loss": "kl", "temperature_squared": False},
    ),
    "pkd_thucnews": ({"pkd": ADAMW_003}, {"soft_weight": 0.05, "hard_weight": 0.5, "beta": 100.0}),
    "tinybert_thucnews": ({"intermediate": {"epochs": 10}, "prediction": {"epochs": 3}}, {}),
    "theseus_thucnews": (
        {name: {"epochs": 5, "learning_rate": 1e-5} for name in ("replace", "successor")},
        {"rate": 0.5},
    ),
}
"""What the seed documents say (METHODS sections 3, 5 to 7 and 12): stages' plans, the method."""


@pytest.mark.parametrize("name", OF_CHINESE)
def test_the_chinese_recipes_have_the_documents_settings(name):
    config = parse(f"{name}.py")
    method, task = name.split("_")
    stages, fields = OF_CHINESE[name]
    assert (config.task, config.workdir) == (task, f"runs/{name}")
    assert config.stages.keys() == stages.keys()
    for stage, plan in stages.items():
        assert {key: getattr(config.stages[stage], key) for key in plan} == plan
    assert {key: config.method[key] for key in fields} == pytest.approx(fields)
    make_method(config.method["name"], {k: v for k, v in config.method.items() if k != "name"})
    if method != "teacher":
        assert config.teacher.run == f"runs/teacher_{task}"
        assert checked(dict(config.teacher.recipe)) == parse(f"teacher_{task}.py")
    else:
        assert config == parse(f"teacher.py:{task}")
        assert config.model.source == "bert-base-chinese"


def test_seed_003_read_256_tokens_of_an_article():
    articles, titles = parse("teacher.py:cnews"), parse("teacher.py:thucnews")
    assert (articles.data.max_length, titles.data.max_length) == (256, 128)
    assert articles.stages == titles.stages
    assert parse("kd.py:cnews").data == articles.data


@pytest.mark.parametrize(
    "flags",
    [
        ("accumulate=4", "batch_size=128", "learning_rate=8e-5"),
        ("precision=float16",),
        ("adversary=fgm",),
        ("adversary=pgd",),
    ],
)
def test_seed_003s_strategies_are_flags_of_one_recipe(flags):
    path = Path("configs/teacher_thucnews.py").read_text()
    assert " ".join(f"S.{flag}" for flag in flags) in path
    plain = parse("teacher_thucnews.py").stages["finetune"]
    changed = parse(
        "teacher_thucnews.py", *(f"--config.stages.finetune.{flag}" for flag in flags)
    ).stages["finetune"]
    different = {
        field.name
        for field in dataclasses.fields(plain)
        if getattr(plain, field.name) != getattr(changed, field.name)
    }
    assert different == {flag.split("=")[0] for flag in flags}


def write_mnli(folder: Path, **splits: list[tuple[str, int]]) -> None:
    """GLUE's layout; a row is (its second text, its class)."""
    labels = find_task("mnli").labels
    (folder / "MNLI").mkdir()
    names = [*"abcdefgh", "sentence1", "sentence2", "gold_label"]
    for name, found in splits.items():
        rows = [[*"abcdefgh", "the film", text, labels[number]] for text, number in found]
        lines = ["\t".join(row) for row in [names, *rows]]
        (folder / "MNLI" / f"{name}.tsv").write_text("\n".join(lines) + "\n")


def test_mnlis_mismatched_rows_are_reported_and_select_nothing(tmp_path):
    shape = dataclasses.replace(tiny.SHAPE, classes=3)
    checkpoint = tiny.write_checkpoint(tmp_path / "tiny-bert", find_task("mnli").labels, shape)
    counts = {"train": 4, "dev_matched": 6, "dev_mismatched": 8}
    splits = {k: [("is " * n, n % 3) for n in range(1, count + 1)] for k, count in counts.items()}
    write_mnli(tmp_path, **splits)
    said = [
        "score_sst2.py",
        f"--workdir={tmp_path / 'run'}",
        "--config.task=mnli",
        f"--config.model.source={checkpoint}",
        f"--config.data.folder={tmp_path}",
        "--config.data.max_length=32",
        "--config.data.buckets=(32,)",
    ]
    report = ensure_run(parse(*said))
    assert list(report["metrics"]) == ["dev", "dev_mismatched"]
    assert report["selection"] == "accuracy"
    assert "dev_mismatched accuracy" in (tmp_path / "run/report.md").read_text()
    for split, count in (("dev", 6), ("dev_mismatched", 8)):
        kept = np.load(tmp_path / "run/predictions" / f"{split}.npz")
        right = (kept["logits"].argmax(1) == kept["labels"]).mean()
        assert len(kept["row"]) == count
        assert report["metrics"][split]["accuracy"] == pytest.approx(right)


def test_the_step_that_is_kept_is_the_best_on_matched(tmp_path, monkeypatch):
    """Mismatched rows say another class than what is learnt: their best step is an early one."""
    rng = np.random.default_rng(0)
    kinds = (tiny.BAD, tiny.GOOD, tiny.PLAIN)
    splits = {
        name: [(" ".join(rng.choice(kinds[n % 3], 3)), (n + other) % 3) for n in range(count)]
        for name, count, other in (
            ("train", 96, 0),
            ("dev_matched", 30, 0),
            ("dev_mismatched", 30, 1),
        )
    }
    write_mnli(tmp_path, **splits)
    found: dict[str, list[float]] = {"dev": [], "dev_mismatched": []}

    def asked(bench, forward, params, *split):
        for name in () if split else found:  # the report asks for each by name
            logits = dev_logits(bench, forward, params, name)
            found[name].append((logits.argmax(1) == bench.tables[name].labels).mean())
        return dev_logits(bench, forward, params, *split)

    monkeypatch.setattr(running, "dev_logits", asked)
    run = tmp_path / "run"
    shape = dataclasses.replace(SHAPE, layers=1, dropout=0.0)
    checkpoint = tiny.write_checkpoint(tmp_path / "tiny-bert", shape=shape)
    plan = {"stages__finetune__epochs": 5, "stages__finetune__eval_steps": 4}
    words = tiny.arguments(checkpoint, tmp_path, run, task="mnli", data__buckets=(32,), **plan)
    report = ensure_run(from_command_line(words))
    steps = [line["step"] for line in read_metrics(run) if line["kind"] == "eval"]
    matched, other = (dict(zip(steps, values, strict=True)) for values in found.values())
    best, theirs = (max(each, key=lambda step, each=each: each[step]) for each in (matched, other))
    assert matched[best] > 0.8 and matched[theirs] < 0.5  # as far apart as can be
    assert report["stages"][0]["step"] == best
    assert report["metrics"]["dev"]["accuracy"] == pytest.approx(matched[best])
    assert report["metrics"]["dev_mismatched"]["accuracy"] == pytest.approx(other[best])


def test_an_override_of_one_stage_leaves_the_others_alone():
    config = parse("theseus_sst2.py", "--config.stages.successor.learning_rate=1e-6")
    rates = (config.stages["replace"].learning_rate, config.stages["successor"].learning_rate)
    assert rates == (1e-5, 1e-6)
    config = parse("kd_sst2.py", "--config.stages.kd.epochs=9")
    assert (config.stages["kd"].epochs, config.alone.epochs) == (9, 4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kd.py:sst", "no task 'sst'. Did you mean 'sst2'"),
        ("kd.py", "no task ''.*cola, sst2"),
        ("oneflow.py:bilstm_sst2", "oneflow.py:bilstm_sst2 is no METHOD_TASK.*kd, pkd, tinybert"),
    ],
)
def test_a_recipe_of_no_task_is_said(name, said):
    with pytest.raises(UserError, match=said):
        parse(name)
