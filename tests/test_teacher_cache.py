"""The teacher cache: what it holds, what makes it another one; kills and bad disks survived."""

from __future__ import annotations

import dataclasses
import shutil
from functools import partial

import jax
import numpy as np
import pytest
import tiny

from jaxdistill import recipes
from jaxdistill.data.batches import Table, batches, rows_of
from jaxdistill.data.logits import mix
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.views import Words
from jaxdistill.errors import Preempted, UserError
from jaxdistill.files import Lock, read_json, write_json
from jaxdistill.log import RunLog
from jaxdistill.losses import soft_cross_entropy, weighted_mean
from jaxdistill.methods.taught import taught
from jaxdistill.models.bert import Bert, initial_params
from jaxdistill.models.build import describe
from jaxdistill.preemption import Signals
from jaxdistill.runs import VERSION, Description, Run
from jaxdistill.sharding import make_mesh
from jaxdistill.surroundings import Surroundings
from jaxdistill.teacher_cache import Question, Room, cached_answers
from jaxdistill.teacher_cache import describe as key_of
from jaxdistill.trainer import train_stage
from jaxdistill.trees import flatten, merge
from jaxdistill.types import Stage, StagePlan, Taught

ROWS, CHUNK, WIDTH = 156, 64, 16
SHAPE = dataclasses.replace(tiny.SHAPE, initial_std=0.3)


@pytest.fixture(scope="module")
def table():
    """156 rows of 3 to 16 tokens."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, WIDTH + 1, ROWS)
    return Table(
        row=np.arange(ROWS, dtype=np.int32),
        ids=rng.integers(5, SHAPE.vocab, lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        second=lengths.astype(np.int32),
        labels=rng.integers(0, 2, ROWS).astype(np.int32),
    )


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("teacher"), 0)


def run_of(folder, seed):
    model = Bert(SHAPE)
    name, shape = describe(model)
    description = Description(
        version=VERSION,
        method="finetune",
        model=name,
        shape=shape,
        precision="float32",
        task="sst2",
        labels=("negative", "positive"),
        selection="accuracy",
        data_folder="",
        max_length=WIDTH,
        buckets=(WIDTH,),
        stages=("finetune",),
    )
    params = jax.device_get(jax.jit(partial(initial_params, model))(jax.random.key(seed)))
    tokenizer = load_tokenizer(tiny.write_tokenizer(folder / "tokenizer"))
    return Run(folder, description, "finetune", model, params, tokenizer, {})


class Log(RunLog):
    def __init__(self):
        super().__init__(None)
        self.said = []

    def notice(self, text):
        self.said.append(text)


class Desk:
    """A cache in a folder; counts the batches asked for, which are the chunks computed."""

    def __init__(self, folder, limit=1e9):
        self.log, self.asked, self.stop_at = Log(), 0, None
        self.room = Room(folder, limit, make_mesh(), self.log, self.poll)

    def poll(self):
        if self.asked == self.stop_at:
            raise Preempted("SIGTERM")
        self.asked += 1

    def __call__(self, question, table):
        self.asked = 0
        return cached_answers(question, table, self.room, name="kd", chunk=CHUNK)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "cache")


def question(*teachers, **given):
    values = {
        "weights": (1 / len(teachers),) * len(teachers),
        "combine": "logits",
        "precision": "float32",
        "layers": (),
        "buckets": (WIDTH,),
        **given,
    }
    return Question(teachers=teachers, **values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, teacher, table):
    """A cache that is filled, to be copied and spoilt, and what it holds."""
    desk = Desk(tmp_path_factory.mktemp("whole"))
    return desk.room.folder, desk(question(teacher), table)


def copied(whole, tmp_path):
    desk = Desk(tmp_path / "cache")
    shutil.copytree(whole[0], desk.room.folder)
    (key,) = desk.room.folder.iterdir()
    return desk, key


def direct(run, table, layers=()):
    """What the model says of the whole table in one batch."""
    (batch,) = batches(table, ROWS, buckets=(WIDTH,), seed=0, epoch=0, training=False)
    assert batch.row.tolist() == list(range(ROWS))
    ask = jax.jit(lambda params: taught(run.model, {"teacher": params}, batch, layers))
    return jax.device_get(ask(run.params))


def same(one, other):
    return np.array_equal(one.logits, other.logits)


# ---- what it holds


def test_it_holds_what_the_model_says(desk, teacher, table):
    asked = question(teacher, layers=(1, 2))
    found, expected = desk(asked, table), direct(teacher, table, (1, 2))
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.cls, expected.cls, rtol=1e-5, atol=1e-5)
    assert (found.cls.shape, found.cls.dtype) == ((ROWS, 2, SHAPE.width), np.float32)
    assert isinstance(found.logits, np.memmap)
    assert desk.asked == 3
    again = desk(asked, table)
    assert same(again, found) and np.array_equal(again.cls, found.cls)
    assert desk.asked == 0
    first, second = desk.log.said
    assert "0 of 156 rows found (0%), 156 computed" in first
    assert "156 of 156 rows found (100%), 0 computed" in second
    assert f"{4 * ROWS * (2 + 2 * SHAPE.width) / 1e6:.2f} MB" in second


def test_a_students_words_change_nothing(whole, desk, teacher, table):
    texts = np.arange(ROWS + 1) * (WIDTH + 1)  # each has more words than any batch is wide
    words = Words(np.ones(texts[-1], np.int32), texts, 1)
    assert same(desk(question(teacher), table._replace(words=words)), whole[1])
    assert desk.asked == 3


def test_a_chunk_has_the_same_bits_by_itself(whole, desk, teacher, table):
    last = rows_of(table, slice(2 * CHUNK, ROWS))
    assert last.ids.tolist() == table.ids[table.offsets[2 * CHUNK] :].tolist()
    assert np.array_equal(desk(question(teacher), last).logits, whole[1].logits[2 * CHUNK :])


def test_a_ragged_batch_repeats_its_last_row(table):
    answers = Taught(
        np.arange(2.0 * ROWS, dtype=np.float32).reshape(ROWS, 2),
        np.arange(6.0 * ROWS, dtype=np.float32).reshape(ROWS, 2, 3),
    )
    taught_table = table._replace(teacher=answers)
    epoch = batches(taught_table, 64, buckets=(WIDTH,), seed=3, epoch=1, training=True)
    ragged = [batch for batch in epoch if not batch.weight.all()]
    assert len(ragged) == 1 and ragged[0].weight.sum() == ROWS % 64
    for batch in epoch:
        assert batch.teacher.logits[:, 0].tolist() == (2.0 * batch.row).tolist()
        assert batch.teacher.cls[:, 1, 2].tolist() == (6.0 * batch.row + 5).tolist()
    assert (ragged[0].teacher.logits[ROWS % 64 :] == ragged[0].teacher.logits[-1]).all()


def test_20_steps_with_and_without_it(whole, teacher, table, tmp_path):
    """To 1e-6 and not bit-equal: the cache asked in batches of 64, a step asks in batches of 8."""
    student = Bert(dataclasses.replace(SHAPE, layers=1, dropout=0.0), unroll=False)

    def loss(trained, frozen, batch, rng, progress):
        params = merge(trained, frozen)
        theirs = taught(teacher.model, params, batch)
        ours = student.apply({"params": params["student"]}, batch)
        return weighted_mean(soft_cross_entropy(ours.logits, theirs.logits, 1.0), batch.weight), {}

    stage = Stage("kd", loss, lambda path: True, "last", ("logits",))
    values = tiny.PLAN | {"epochs": 1, "learning_rate": 1e-3}
    plan = StagePlan(**recipes.plan(**values))
    student_params = jax.device_get(jax.jit(partial(initial_params, student))(jax.random.key(9)))
    ends = []
    for known in (whole[1], None):
        rows = table._replace(teacher=known)
        around = Surroundings(
            folder=tmp_path / str(known is None),
            epochs=lambda size, epoch, rows=rows: batches(
                rows, size, buckets=(WIDTH,), seed=0, epoch=epoch, training=True
            ),
            evaluate=lambda params: {},
            selection="accuracy",
            seed=0,
            log=Log(),
            signals=Signals(),
            mesh=make_mesh(),
            checkpoint_seconds=1e9,
            log_steps=100,
            ledger_steps=0,
        )
        frozen = {"teacher": teacher.params} if known is None else {}
        start = {"student": student_params, "extras": {}}
        end, record = train_stage(stage, plan, start, frozen, around, number=0)
        assert record["step"] == 20
        ends.append(end["student"])
    one, other = (flatten(end) for end in ends)
    assert (
        max(np.abs(one[path] - leaf).max() for path, leaf in flatten(student_params).items()) > 1e-3
    )
    # Attention does not change with the key's bias: its gradient is rounding, which Adam scales up.
    assert one.pop("layers/key/bias").shape == (1, SHAPE.width)
    for path, leaf in one.items():
        np.testing.assert_allclose(leaf, other[path], rtol=0, atol=1e-6, err_msg=path)


# ---- what makes it another one


def test_what_the_answers_depend_on_makes_the_key(teacher, table, tmp_path):
    base = key_of(question(teacher), table)
    other = run_of(tmp_path, 1)
    ids = table.ids.copy()
    ids[7] += 1
    cut = np.minimum(np.diff(table.offsets), 8)  # as config.data.max_length=8 would
    shorter = table._replace(
        ids=np.concatenate(
            [table.ids[a : a + n] for a, n in zip(table.offsets[:-1], cut, strict=True)]
        ),
        offsets=np.concatenate([[0], np.cumsum(cut)]),
    )
    changed = [
        key_of(question(other), table),
        key_of(question(teacher), table._replace(ids=ids)),
        key_of(question(teacher), table._replace(second=table.second - 1)),
        key_of(question(teacher), shorter),
        key_of(question(teacher, precision="bfloat16"), table),
        key_of(question(teacher, layers=(1,)), table),
        key_of(question(teacher, buckets=(8, 16)), table),
        key_of(question(teacher, other), table),
        key_of(question(teacher, other, combine="probabilities"), table),
        key_of(question(teacher, other, weights=(0.25, 0.75)), table),
    ]
    for number, about in enumerate(changed):
        assert about not in (base, *changed[:number])
    relabelled = table._replace(labels=1 - table.labels, row=table.row + 9)
    assert key_of(question(teacher), relabelled) == base


# ---- kills and bad disks


def test_a_signal_costs_the_chunk_at_work(whole, desk, teacher, table):
    desk.stop_at = 2
    with pytest.raises(Preempted):
        desk(question(teacher), table)
    desk.stop_at = None
    found = desk(question(teacher), table)
    assert (desk.asked, same(found, whole[1])) == (1, True)
    assert "128 of 156 rows found (82%), 28 computed" in desk.log.said[-1]


def test_a_kill_between_a_chunk_and_its_record_costs_that_chunk(whole, teacher, table, tmp_path):
    desk, key = copied(whole, tmp_path)
    record = read_json(key / "progress.json")
    del record["chunks"]["1"]
    write_json(key / "progress.json", record)
    with (key / "logits.npy").open("r+b") as file:  # half of it had reached the disk
        file.seek(128 + CHUNK * 8)
        file.write(b"\xff" * 200)
    found = desk(question(teacher), table)
    assert (desk.asked, same(found, whole[1])) == (1, True)
    assert len(desk.log.said) == 1


SPOILT = {
    "a byte flipped": (lambda path: flip(path / "logits.npy", 128 + 4 * 2 * 70), 1),
    "the header flipped": (lambda path: flip(path / "logits.npy", 20), 3),
    "the file cut off": (lambda path: cut_off(path / "logits.npy", 128 + 4 * 2 * 64), 2),
    "the file gone": (lambda path: (path / "logits.npy").unlink(), 3),
    "the record cut off": (lambda path: cut_off(path / "progress.json", 300), 3),
    "the record of another cache": (
        lambda path: write_json(
            path / "progress.json", read_json(path / "progress.json") | {"about": {}}
        ),
        3,
    ),
    "the record gone": (lambda path: (path / "progress.json").unlink(), 3),
}


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def cut_off(path, size):
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize("case", SPOILT)
def test_damage_is_found_and_computed_again(case, whole, teacher, table, tmp_path):
    desk, key = copied(whole, tmp_path)
    spoil, chunks = SPOILT[case]
    spoil(key)
    found = desk(question(teacher), table)
    assert (desk.asked, same(found, whole[1])) == (chunks, True)
    told = [line for line in desk.log.said if "damaged" in line]
    assert len(told) == ("record" not in case)
    assert all(f"{chunks} of 3 chunks" in line for line in told)
    desk(question(teacher), table)
    assert desk.asked == 0


def test_a_second_process_waits_and_then_finds_it(whole, teacher, table, tmp_path):
    desk, key = copied(whole, tmp_path)
    aside = tmp_path / "aside.json"
    (key / "progress.json").rename(aside)
    lock = Lock(key)
    lock.__enter__()

    def poll():  # the other one finishes
        if aside.exists():
            aside.rename(key / "progress.json")
            lock.__exit__(None, None, None)

    desk.room = desk.room._replace(poll=poll)
    found = desk(question(teacher), table)
    assert same(found, whole[1])
    assert "another process" in desk.log.said[0]
    assert "156 of 156 rows found" in desk.log.said[1]


def test_beyond_the_cap_the_step_asks(teacher, table, tmp_path):
    size = 4 * 2 * ROWS
    (tmp_path / "somebodys").mkdir()
    (tmp_path / "somebodys" / "logits.npy").write_bytes(bytes(1000))
    desk = Desk(tmp_path, limit=size + 999)
    assert desk(question(teacher), table) is None
    assert desk.asked == 0
    assert "The teacher runs in the step instead" in desk.log.said[0]
    assert "cache_gigabytes is 2.247e-06" in desk.log.said[0]
    other = dataclasses.replace(teacher, stage="another")
    with pytest.raises(UserError, match=r"Several teachers.*JAXDISTILL_CACHE"):
        desk(question(teacher, other), table)
    desk.room = desk.room._replace(limit=size + 1000)
    assert desk(question(teacher), table) is not None


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(teacher, table, tmp_path):
    (tmp_path / "file").write_text("")
    desk = Desk(tmp_path / "file" / "cache")
    assert desk(question(teacher), table) is None
    assert "cannot be written" in desk.log.said[0]


def test_a_full_disk_is_no_reason_to_stop(desk, teacher, table, monkeypatch):
    def full(self, number, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxdistill.rowstore.RowStore.write", full)
    assert desk(question(teacher), table) is None
    assert "No space left" in desk.log.said[0]


def test_a_teacher_that_diverged_is_refused(desk, teacher, table):
    bias = np.array([np.nan, 0], np.float32)
    params = {**teacher.params, "classifier": {**teacher.params["classifier"], "bias": bias}}
    with pytest.raises(UserError, match="train row 0 is not finite"):
        desk(question(dataclasses.replace(teacher, params=params)), table)


# ---- several teachers


def test_two_teachers_by_hand():
    one, other = np.array([[0.0, 2.0]]), np.array([[4.0, 0.0]])
    np.testing.assert_allclose(mix([one, other], (0.25, 0.75), "logits"), [[3.0, 0.5]])
    p, q = np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]])
    found = mix([np.log(p) + 7, np.log(q) - 3], (0.25, 0.75), "probabilities")
    np.testing.assert_allclose(found, np.log([[0.5, 0.5]]), rtol=1e-6)
    assert found.dtype == np.float32


def test_a_class_that_all_exclude_stays_finite():
    sure = np.array([[2000.0, 0.0]])
    found = mix([sure, sure], (0.5, 0.5), "probabilities")
    np.testing.assert_allclose(found, [[0.0, -2000.0]])


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
def test_two_teachers_from_the_cache(combine, desk, teacher, table, tmp_path):
    other = run_of(tmp_path, 1)
    asked = question(teacher, other, weights=(0.25, 0.75), combine=combine)
    found = desk(asked, table).logits
    one, two = (direct(run, table).logits for run in (teacher, other))
    if combine == "logits":
        np.testing.assert_allclose(found, 0.25 * one + 0.75 * two, rtol=1e-4, atol=1e-5)
        return
    expected = 0.25 * jax.nn.softmax(one) + 0.75 * jax.nn.softmax(two)
    np.testing.assert_allclose(jax.nn.softmax(found), expected, rtol=1e-4)
