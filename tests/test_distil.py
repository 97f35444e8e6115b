"""A student from its teacher, as a user runs it: teacher first, both stages, the student alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from test_main import launch
from test_resume import begin

from jaxdistill.config import checked, from_command_line
from jaxdistill.errors import UserError
from jaxdistill.files import read_json
from jaxdistill.gate import gate
from jaxdistill.recipe import ensure_run
from jaxdistill.sections import Config
from jaxdistill.teachers import files_of, teacher_config
from jaxdistill.teaching import Teaching, same_teachers

PARTS = ("teacher", "student")
SHAPE = dataclasses.replace(tiny.SHAPE, layers=4, initial_std=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_sst2(tmp_path_factory.mktemp("glue"), train=200)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("hub") / "tiny-bert", shape=SHAPE)


def words(checkpoint, data, folder: Path, **overrides: object) -> list[str]:
    stages = ("stages.intermediate", "stages.prediction", "alone")
    teacher = "teacher.recipe.stages.finetune"
    plans = {f"{s}.{k}": v for s in (*stages, teacher) for k, v in tiny.PLAN.items()}
    values = {
        **plans,
        f"{teacher}.epochs": 4,
        "data.folder": data,
        "data.buckets": (32,),
        "data.max_length": 32,
        "teacher.recipe.data.buckets": (32,),
        "teacher.recipe.data.max_length": 32,
        "teacher.source": checkpoint,
        "teacher.run": folder / "teacher",
        "student.layers": 2,
        "baseline": True,
        **{k.replace("__", "."): v for k, v in overrides.items()},
    }
    return [
        "--config=configs/tinybert_sst2.py",
        f"--workdir={folder / 'student'}",
        *(f"--config.{k}={v}" for k, v in values.items()),
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data, checkpoint):
    folder = tmp_path_factory.mktemp("runs")
    cache = str(folder / "cache")  # of its own: another test may have asked an equal teacher
    done = launch("main", *words(checkpoint, data, folder), JAXDISTILL_CACHE=cache)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_one_command_trains_teacher_student_and_the_student_alone(finished):
    folder, done = finished
    report = read_json(folder / "student" / "report.json")
    teacher = read_json(folder / "teacher" / "report.json")
    assert report["teacher"]["metrics"] == teacher["metrics"]
    assert report["teacher"]["metrics"]["dev"]["accuracy"] > 0.9
    assert report["metrics"]["dev"]["accuracy"] > 0.9
    assert report["parameters"]["total"] < report["teacher"]["parameters"]["total"]
    assert report["baseline"]["parameters"] == report["parameters"]
    assert [stage["name"] for stage in report["stages"]] == ["intermediate", "prediction"]
    for column in ("teacher", "student", "alone"):
        assert column in done.stdout
    assert "0 of 200 rows found (0%), 200 computed" in done.stderr
    assert read_json(folder / "student" / "teacher" / "cache.json") == {"prediction": True}


def test_the_students_folder_can_be_moved_away_from_its_teacher(finished, tmp_path):
    folder, _ = finished
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder / "student", moved)
    report = read_json(moved / "report.json")
    kept = np.load(moved / "teacher" / "dev.npz")
    accuracy = (kept["logits"].argmax(1) == kept["labels"]).mean()
    assert accuracy == pytest.approx(report["teacher"]["metrics"]["dev"]["accuracy"])
    done = launch("evaluate", moved, "--json")
    assert done.returncode == 0, done.stderr


def test_the_projection_is_no_part_of_the_student(finished):
    from jaxdistill.runs import open_run

    folder, _ = finished
    run = open_run(folder / "student", print)
    assert set(run.params) == {"embeddings", "layers", "pooler", "classifier"}
    assert run.params["layers"]["query"]["kernel"].shape == (2, 16, 16)


def test_evaluate_a_stage(finished):
    folder, _ = finished
    done = launch("evaluate", folder / "student", "--stage=intermediate", "--json")
    assert done.returncode == 0, done.stderr


def test_the_second_stage_from_a_saved_first_one(finished, data, checkpoint, tmp_path):
    """The seeds' --pred_distill: equal to having run both stages, but for the random stream."""
    folder, _ = finished
    done = launch(
        "main",
        *words(
            checkpoint,
            data,
            folder,
            method__stages_run="('prediction',)",
            student__source=f"{folder / 'student'}:intermediate",
            baseline=False,
        ),
        f"--workdir={tmp_path / 'second'}",
        JAXDISTILL_CACHE=str(folder / "cache"),
    )
    assert done.returncode == 0, done.stderr
    report = read_json(tmp_path / "second" / "report.json")
    assert report["metrics"]["dev"]["accuracy"] > 0.9
    assert [stage["name"] for stage in report["stages"]] == ["prediction"]
    assert "200 of 200 rows found (100%), 0 computed" in done.stderr  # the first run's cache


def kd(folder: Path, run: Path, data, checkpoint, **overrides: object) -> dict[str, object]:
    """A run of soft labels on a student from the checkpoint, in this process."""
    values = {
        **{f"stages.kd.{k}": v for k, v in tiny.PLAN.items()},
        "data.folder": data,
        "data.buckets": (32,),
        "data.max_length": 32,
        "student.source": checkpoint,
        "teacher.run": folder / "teacher",
        **{k.replace("__", "."): v for k, v in overrides.items()},
    }
    flags = [f"--config.{k}={v}" for k, v in values.items()]
    config = from_command_line(["main", "--config=configs/kd_sst2.py", f"--workdir={run}", *flags])
    return ensure_run(config)


def test_logits_from_a_file_need_no_teacher(data, checkpoint, tmp_path, request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    lines = (data / "SST-2" / "train.tsv").read_text("utf-8").splitlines()[1:]
    good = [int(line.split("\t")[1]) for line in lines]
    rows = [f"{row},{3 * label},{3 - 3 * label}" for row, label in enumerate(good)]
    path = tmp_path / "theirs.csv"
    path.write_text("\n".join(["row,positive,negative", *rows]) + "\n", "utf-8")
    report = kd(
        tmp_path,
        tmp_path / "student",
        data,
        checkpoint,
        teacher__run="",
        teacher__logits=path,
        method__hard_weight=0.0,
    )
    assert "teacher" not in report
    assert report["metrics"]["dev"]["accuracy"] > 0.9


def test_several_teachers_are_one(finished, data, checkpoint, tmp_path, request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    folder, _ = finished
    report = kd(
        folder,
        tmp_path / "student",
        data,
        checkpoint,
        teacher__others=(str(folder / "student"),),
        teacher__weights=(3.0, 1.0),
        teacher__combine="probabilities",
    )
    one, other = (read_json(folder / part / "report.json")["metrics"] for part in PARTS)
    assert report["teacher"]["metrics"] == one
    assert report["teacher"]["others"] == [{"run": str(folder / "student"), "metrics": other}]
    assert report["teacher"]["together"]["metrics"]["dev"]["accuracy"] > 0.9
    assert report["metrics"]["dev"]["accuracy"] > 0.9


def test_interrupted_everywhere_and_bit_equal(finished, data, checkpoint, tmp_path):
    """SIGTERM as soon as the teacher, each stage and the student alone have begun."""
    folder, _ = finished
    order = words(checkpoint, data, tmp_path, checkpoint_minutes=0.002)
    moments = [
        tmp_path / "teacher/metrics.jsonl",
        tmp_path / "student/metrics.jsonl",
        tmp_path / "student/checkpoints/prediction",
        tmp_path / "student/alone/metrics.jsonl",
    ]
    stopped = 0
    for moment in moments:
        process = begin(order)
        while not moment.exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=300)
        assert process.returncode in (85, 0), err
        stopped += process.returncode == 85
    assert stopped >= 3  # the last stages are short: one may win the race
    done = launch("main", *order)
    assert done.returncode == 0, done.stderr
    for part in ("teacher", "student", "student/alone"):
        one, other = (read_json(f / part / "report.json") for f in (folder, tmp_path))
        assert one["parameters_sha256"] == other["parameters_sha256"], part


def test_somebodys_classifier_teaches_as_it_is(finished, data, checkpoint, tmp_path):
    from jaxdistill.models.huggingface import save_huggingface
    from jaxdistill.runs import open_run

    folder, _ = finished
    run = open_run(folder / "teacher", print)
    theirs = tmp_path / "somebodys"
    head = {name: leaf[..., ::-1] for name, leaf in run.params["classifier"].items()}
    swapped = {**run.params, "classifier": head}
    tokenizer = folder / "teacher" / "tokenizer"
    save_huggingface(theirs, swapped, run.model.shape, ("positive", "negative"), tokenizer)
    done = launch("main", *words(checkpoint, data, tmp_path, teacher__run=theirs, baseline=False))
    assert done.returncode == 0, done.stderr
    report = read_json(tmp_path / "student" / "report.json")
    expected = read_json(folder / "teacher" / "report.json")["metrics"]["dev"]["accuracy"]
    assert report["teacher"]["metrics"]["dev"]["accuracy"] == expected


WRONG = {
    "heads": (
        {
            "student__source": "random",
            "student__width": 16,
            "student__heads": 4,
            "student__inner": 32,
        },
        "4 attention heads and the teacher 2",
    ),
    "layers": ({"student__layers": 3}, "3 layers and the teacher 4"),
    "pick": ({"student__pick": "1,9"}, "layer 9, and the teacher's layers are 1 to 4"),
    "stage": ({"method__stages_run": "('middle',)"}, "stages_run"),
    "size": ({"student__source": "random"}, "config.student.width"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_the_teacher_is_a_paragraph(case, finished, data, checkpoint, tmp_path):
    folder, _ = finished
    overrides, said = WRONG[case]
    done = launch(
        "main", *words(checkpoint, data, folder, **overrides), f"--workdir={tmp_path / 'run'}"
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert said in done.stderr


def test_a_teacher_with_other_labels_is_refused(finished, data, checkpoint, tmp_path):
    folder, _ = finished
    other = tmp_path / "teacher"
    shutil.copytree(folder / "teacher", other)
    text = (other / "model.json").read_text().replace('"negative"', '"spam"')
    (other / "model.json").write_text(text)
    done = launch(
        "main", *words(checkpoint, data, folder, teacher__run=other), f"--workdir={tmp_path / 'r'}"
    )
    assert done.returncode == 2
    assert "spam" in done.stderr
    assert "negative" in done.stderr


def test_a_teacher_at_chance_is_stopped_at_the_gate(data, checkpoint, tmp_path):
    done = launch(
        "main",
        *words(
            checkpoint,
            data,
            tmp_path,
            **{"teacher.recipe.stages.finetune.learning_rate": 1e-9},
        ),
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "always saying the most frequent label" in done.stderr
    (begun,) = tmp_path.rglob("begun.json")  # a run that learns nevertheless may have the folder
    assert not (begun.parent / "config.json").exists()


def test_the_gate_by_hand():
    labels = np.array([0, 0, 0, 1])
    gate({"accuracy": 0.78}, labels, 0.02, "t")
    with pytest.raises(UserError, match="0.7700.*0.7500"):
        gate({"accuracy": 0.77}, labels, 0.02, "t")
    gate({"pearson": 0.1}, np.array([0.5, 1.0]), 0.02, "t")
    with pytest.raises(UserError, match="Pearson"):
        gate({"pearson": float("nan")}, np.array([0.5, 1.0]), 0.02, "t")
    for value, hint in ((0.75, True), (float("nan"), False)):
        with pytest.raises(UserError) as error:
            gate({"accuracy": value}, labels, 0.02, "t")
        assert ("margin=-1" in str(error.value)) == hint
    with pytest.raises(UserError, match="Pearson.*-0.1000.*margin=-1"):
        gate({"pearson": -0.1}, np.array([0.5, 1.0]), 0.02, "t")
    gate({"pearson": -0.1}, np.array([0.5, 1.0]), -1.0, "t")
    for metrics, same in (
        ({"accuracy": 1.0}, labels[:3]),
        ({"pearson": 0.0}, np.array([0.5, 0.5])),
        ({"micro_f1": 1.0}, np.array([[1, 0], [1, 0]])),
    ):
        with pytest.raises(UserError, match="All rows of dev have the same label"):
            gate(metrics, same, 0.02, "t")
        gate(metrics, same, -1.0, "t")
    gate({"accuracy": 0.1}, labels, -1.0, "t")
    rare = np.array([0] * 99 + [1])  # 0.02 more than 0.99 nobody can have
    gate({"accuracy": 1.0}, rare, 0.02, "t")
    with pytest.raises(UserError, match=r"0\.9950.*0\.9900.*asks for 0\.005 more"):
        gate({"accuracy": 0.995}, rare, 0.02, "t")
    always = np.array([[1, 0]] * 99 + [[0, 1]])
    gate({"micro_f1": 1.0}, always, 0.02, "t")
    with pytest.raises(UserError, match="micro F1 of 0.9900"):
        gate({"micro_f1": 0.99}, always, 0.02, "t")


def test_a_teacher_is_not_trained_on_shorter_texts_than_it_is_asked(tmp_path, request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    longer = ["data.max_length=256", "data.buckets=(64, 256)"]
    words = ["main", "--config=configs/kd_sst2.py", f"--config.teacher.run={tmp_path}/none"]
    words += [f"--config.{flag}" for flag in longer]
    with pytest.raises(UserError, match="is 256 tokens.* trained on 128") as error:
        teacher_config(from_command_line(words))
    assert str(error.value).endswith(
        "Add --config.teacher.recipe.data.max_length=256 "
        '--config.teacher.recipe.data.buckets="(64,256)".'
    )
    words += [f"--config.teacher.recipe.{flag}" for flag in longer]
    assert teacher_config(from_command_line(words))[0].data.buckets == (64, 256)


def test_what_config_teacher_run_names(tmp_path, request, monkeypatch):
    """A folder in Hugging Face's layout is adopted; a run that was killed early is gone on with."""
    monkeypatch.chdir(request.config.rootpath)

    def named(run: Path, *more: str) -> Config:
        words = ["main", "--config=configs/tinybert_sst2.py", f"--config.teacher.run={run}", *more]
        config, _ = teacher_config(from_command_line(words))
        assert config is not None
        return config

    def method(run: Path) -> str:
        return named(run).method["name"]

    theirs, killed = tmp_path / "theirs", tmp_path / "killed"
    for folder in (theirs, killed):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    (killed / "data.json").write_text("{}")
    assert method(theirs) == "score"
    assert named(theirs, "--config.seed=1") == named(theirs)  # one adoption for every seed
    assert method(killed) == "finetune"
    assert method(tmp_path / "not there yet") == "finetune"


def test_a_finished_adoption_serves_students_of_other_data(tmp_path, request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text("{}")

    def found(*more: str) -> tuple[Config | None, Path]:
        words = ["main", "--config=configs/tinybert_sst2.py", f"--workdir={tmp_path / 'student'}"]
        run = f"--config.teacher.run={tmp_path / 'theirs'}"
        return teacher_config(from_command_line([*words, run, *more]))

    config, folder = found()
    assert config is not None and config.model is not None
    folder.mkdir()
    for name, content in (("config.json", config.plain()), ("report.json", {})):
        (folder / name).write_text(json.dumps(content))
    assert found("--config.ledger_steps=9", "--config.data.max_length=64") == (None, folder)
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"weights")
    (folder / "adopted.json").write_text(json.dumps(files_of(str(tmp_path / "theirs"))))
    assert found() == (None, folder)
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"other weights")
    changed = f"{folder} has adopted .* others by now .*Remove {folder}"
    with pytest.raises(UserError, match=changed):
        found()
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"weights")
    assert found() == (None, folder)
    assert found(f"--config.teacher.run={tmp_path}/theirs/") == (None, folder)
    before = json.loads((folder / "adopted.json").read_text())
    (folder / "adopted.json").write_text(
        json.dumps({"sha256": before["sha256"]})
    )  # as it was written first
    assert found() == (None, folder)
    (folder / "adopted.json").write_text(json.dumps(before))
    (tmp_path / "theirs" / "config.json").write_text('{"id2label": {"0": "positive"}}')
    with pytest.raises(UserError, match=changed):
        found()
    (tmp_path / "theirs" / "model.safetensors").rename(tmp_path / "moved")
    assert found() == (None, folder)
    another = {**config.plain(), "task": "rte"}
    (folder / "config.json").write_text(json.dumps(another))
    assert found()[0] is not None  # whose ensure_run says what differs


def test_a_classifier_is_adopted_once_for_each_set_of_files(tmp_path, request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text("{}")
    given = {"teacher.run": tmp_path / "theirs", "data.text": "body", "data.label": "kind"}

    def folder(recipe: str, train: str) -> Path:
        flags = [f"--config.{k}={v}" for k, v in {**given, "data.train": train}.items()]
        words = ["main", f"--config=configs/{recipe}:own", f"--workdir={tmp_path / 'student'}"]
        return teacher_config(from_command_line([*words, *flags]))[1]

    assert folder("kd.py", "a.csv") == folder("bilstm.py", "a.csv")  # whose lengths are others
    assert folder("kd.py", "a.csv") != folder("kd.py", "b.csv")


def test_a_run_goes_on_with_the_teacher_that_it_began_with(tmp_path):
    def teaching(value: float) -> Teaching:
        run = SimpleNamespace(folder="runs/t", params={"kernel": np.full(2, value, np.float32)})
        return Teaching(teacher=run)  # type: ignore[arg-type]

    same_teachers(tmp_path, teaching(0.5))  # nothing was trained yet
    same_teachers(tmp_path, teaching(1.0))
    (tmp_path / "config.json").write_text("{}")
    same_teachers(tmp_path, teaching(1.0))
    with pytest.raises(UserError, match="runs/t has other parameters than when .* was started"):
        same_teachers(tmp_path, teaching(1.5))


def test_the_carried_teacher_is_the_teachers_own_recipe(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    student = from_command_line(["main", "--config=configs/tinybert_sst2.py"])
    teacher = from_command_line(["main", "--config=configs/teacher_sst2.py"])
    assert student.teacher is not None
    assert student.teacher.recipe is not None
    assert checked(dict(student.teacher.recipe)) == teacher


def test_a_student_recipe_needs_its_sections(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    config = from_command_line(["main", "--config=configs/tinybert_sst2.py"])
    assert config.start_key == "config.student"
    assert config.teacher is not None
    assert config.teacher.recipe is not None
    assert config.teacher.recipe["name"] == "teacher_sst2"
