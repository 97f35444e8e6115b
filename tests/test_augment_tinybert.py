"""TinyBERT's augmentation: what may be replaced, by what, how often; its masked-LM and vectors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from test_augment_tang import within
from test_augment_words import ANY, CUTTERS

from jaxdistill.config import from_command_line
from jaxdistill.data.augment.neighbours import Neighbours, piece_vectors
from jaxdistill.data.augment.tinybert import Proposer, TinyBert, eligible
from jaxdistill.data.augment.words import words
from jaxdistill.data.encoding import clean
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.makers import make_maker
from jaxdistill.maskedwords import MaskedWords
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.huggingface import config_from_shape, to_huggingface
from jaxdistill.sharding import make_mesh


def test_what_may_be_replaced():
    assert [
        w for w in "The film's very well-made 3 Plot , 电影 的 naïve".split() if eligible(w)
    ] == [
        "Plot",
        "电影",
        "naïve",
    ]


def proposer(**values) -> Proposer:
    asked: list[tuple[str, str]] = []

    def fill(hidden, whole):
        asked.extend(zip(hidden, whole, strict=True))
        return [["film", "Movie", "plot", "cast"]] * len(hidden)

    def near(found):
        return {"uninspired": ["dull", "flat", "stale"]} if "uninspired" in found else {}

    given = {
        "split": words,
        "count": 2,
        "fill": fill,
        "single": lambda word: len(word) < 6,
        "shown": lambda words: (len(words), len(words)),
        "near": near,
        **values,
    }
    made = Proposer(**given)
    object.__setattr__(made, "asked", asked)
    return made


def test_candidates_by_hand():
    found = proposer()
    said = found(["The Film is uninspired, uninspiring!", "a movie"])
    assert said == [
        [[], ["Movie", "Plot"], [], ["dull", "flat"], [], [], []],
        [[], ["film", "plot"]],
    ]
    assert found.asked == [
        ("The [MASK] is uninspired, uninspiring!", "The Film is uninspired, uninspiring!"),
        ("a [MASK]", "a movie"),
    ]
    assert proposer(fill=None, single=None, shown=None)(["film uninspired"]) == [
        [[], ["dull", "flat"]]
    ]
    assert proposer(near=None)(["film uninspired"]) == [[["Movie", "plot"], []]]


def test_a_text_that_is_too_long_loses_its_unmasked_end_first(monkeypatch):
    monkeypatch.setattr("jaxdistill.data.augment.tinybert.ASKED", 1)  # one after another
    found = proposer(shown=lambda words: (3, 2), single=lambda word: word != "uninspired")
    (said,) = found(["movie, set uninspired movie"])
    assert said == [["film", "plot"], [], ["film", "Movie"], ["dull", "flat"], []]
    assert found.asked == [("[MASK], set", "movie,"), ("movie, [MASK]", "movie,")]


def test_words_with_candidates_are_replaced_as_often_as_asked():
    text = " ".join(f"w{i}" for i in range(20))
    choices = [[f"a{i}", f"b{i}"] if i % 2 else [] for i in range(20)]
    made = TinyBert(copies=500, seed=0, p_t=0.4, split=words)(0, (text,), [choices])
    rows = [copy.texts[0].split() for copy in made]
    assert all(row[0::2] == [f"w{i}" for i in range(0, 20, 2)] for row in rows)
    odd = [word for row in rows for word in row[1::2]]
    within(sum(word[0] in "ab" for word in odd), 5000, 0.4)
    within(sum(word[0] == "a" for word in odd), 5000, 0.2)


def test_of_a_pair_one_text_changes_beside_the_others_original():
    work = TinyBert(copies=4, seed=0, p_t=1.0, split=words)
    made = work(3, ("one two", "six"), [[["uno"], ["due"]], [["sei"]]])
    assert [copy.texts for copy in made] == [("uno due", "six")] * 4 + [("one two", "sei")] * 4
    assert [copy.copy for copy in made] == list(range(work.per_row(2)))


def check_copies(found: Proposer, one: str, other: str, row: int) -> None:
    """Each text changes beside the other's original, and only words that have candidates do."""
    candidates = found([one, other])
    for p_t in (0.0, 0.5, 1.0):
        work = TinyBert(copies=2, seed=0, p_t=p_t, split=found.split)
        made = work(row, (one, other), candidates)
        assert [(copy.row, copy.copy) for copy in made] == [(row, number) for number in range(4)]
        assert all(copy.texts[1] == other for copy in made[:2])
        assert all(copy.texts[0] == one for copy in made[2:])
        assert made == work(row, (one, other), candidates)
        for copy in made:
            column = copy.copy // 2
            cut = found.split((one, other)[column])
            there = [
                "|".join(map(re.escape, choices if choices and p_t == 1 else [word, *choices]))
                for word, choices in zip(cut, candidates[column], strict=True)
            ]
            pattern = r"\s*".join(f"(?:{each})" for each in there)
            assert re.fullmatch(pattern, copy.texts[column])
            if not p_t or not any(candidates[column]):
                assert copy.texts[column] == (one, other)[column].strip()


@settings(deadline=None, max_examples=60)
@given(ANY, ANY, st.sampled_from(CUTTERS), st.integers(0, 2**31 - 1))
def test_any_pair_of_texts(one, other, split, row):
    found = proposer(split=split)
    check_copies(found, one, other, row)
    for text, candidates in zip((one, other), found([one, other]), strict=True):
        for word, choices in zip(split(text), candidates, strict=True):
            assert len(choices) == 2 * (eligible(word) and found.single(word))


# ---- word vectors


def test_neighbours_by_hand():
    known = ["up", "upper", "right", "down", "nowhere"]
    matrix = np.array([[0, 2.0], [0.1, 1.0], [1.0, 0.2], [0, -1.0], [0, 0]])
    near = Neighbours(known, matrix, ["up", "down", "nowhere", "unheard"], 2)
    assert near(["up", "unheard", "nowhere"]) == {"up": ["upper", "right"]}
    assert near(["down"]) == {"down": ["right", "upper"]}
    assert near.asked == ["down", "up"]
    assert Neighbours(known, matrix, ["up"], 9)(["up"])["up"] == ["upper", "right", "down"]
    assert Neighbours(["one"], np.ones([1, 2]), ["one"], 3)(["one"]) == {}
    others = [
        Neighbours(known, matrix, ["up"], 2),
        Neighbours(known, 2 - matrix, ["up", "down"], 2),
    ]
    assert len({each.digest() for each in (near, *others)}) == 3


def test_neighbours_are_those_of_a_plain_search(monkeypatch):
    monkeypatch.setattr("jaxdistill.data.augment.neighbours.BLOCK", 7)
    vectors = np.random.default_rng(0).normal(size=(100, 5))
    known = [f"w{i}" for i in range(100)]
    near = Neighbours(known, vectors, known, 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for at in range(100):
        order = sorted(set(range(100)) - {at}, key=lambda other, at=at: -(unit[at] @ unit[other]))
        assert near([f"w{at}"])[f"w{at}"] == [f"w{other}" for other in order[:4]]


# ---- the masked-LM

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] [unused0] ##ing ##s , . the a film plot dull fine cast is"
SHAPE = BertShape(
    vocab=18, width=8, layers=1, heads=2, inner=16, classes=2, positions=40, initial_std=0.5
)
TEXTS = ["the film is fine.", "a dull plot, the casting", "cast", "is the plot a plot"]
HIDDEN = ["the [MASK] is fine.", "a [MASK] plot, the casting", "[MASK]", "is the plot a [MASK]"]


@pytest.fixture(scope="module")
def params():
    drawn = initial_params(Bert(SHAPE), jax.random.key(1), mlm=True)
    return jax.device_get(drawn)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join(PIECES.split()) + "\n", "utf-8")
    return load_tokenizer(folder)


def asker(params, tokenizer, visible: bool, count: int = 6) -> MaskedWords:
    return MaskedWords(
        SHAPE,
        params,
        tokenizer,
        count=count,
        visible=visible,
        mesh=make_mesh(),
        poll=lambda: None,
        name="tiny",
        identity="1",
    )


def test_piece_vectors_by_hand(tokenizer):
    table = np.arange(18 * 2, dtype=np.float32).reshape(18, 2)
    found = piece_vectors(["film", "films", "zzz"], tokenizer, table)
    mean = (table[12] + table[7]) / 2
    centre = (table[12] + mean) / 2
    np.testing.assert_allclose(found, [table[12] - centre, mean - centre, [0, 0]])


@pytest.mark.parametrize("visible", [True, False])
def test_words_are_those_of_transformers(visible, params, tokenizer):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=SHAPE.vocab,
        hidden_size=SHAPE.width,
        num_hidden_layers=SHAPE.layers,
        num_attention_heads=SHAPE.heads,
        intermediate_size=SHAPE.inner,
        max_position_embeddings=SHAPE.positions,
    )
    theirs = transformers.BertForMaskedLM(config).eval()
    tensors = to_huggingface(params, SHAPE, mlm=True)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})
    pieces = PIECES.split()
    said = asker(params, tokenizer, visible)(HIDDEN, TEXTS)
    assert len(said) == len(TEXTS)
    for hidden, whole, found in zip(HIDDEN, TEXTS, said, strict=True):
        encoding = tokenizer.encode(hidden, whole) if visible else tokenizer.encode(hidden)
        with torch.no_grad():
            logits = theirs(
                input_ids=torch.tensor([encoding.ids]),
                token_type_ids=torch.tensor([encoding.type_ids]),
            ).logits[0, encoding.ids.index(4)]
        order = [pieces[number] for number in logits.argsort(descending=True).tolist()]
        wanted = [piece for piece in order if not piece.startswith(("[", "##"))][:6]
        assert found == wanted


def test_a_mask_that_is_cut_off_has_no_words(params, tokenizer):
    long = "film " * 60
    asked = asker(params, tokenizer, False)
    assert asked([long + "[MASK]", "a [MASK]"], [long, "a plot"])[0] == []
    everything = asker(params, tokenizer, False, count=99)(["[MASK]"], ["a"])
    assert sorted(everything[0]) == sorted(PIECES.split()[8:])


def test_how_much_of_a_text_fits(params, tokenizer):
    """Into 40 positions: a word is one piece, "films" two."""
    both, one = (asker(params, tokenizer, visible) for visible in (True, False))
    assert one.widths[-1] == both.widths[-1] == 40
    assert both.shown(["film"] * 14) == (14, 14)
    assert both.shown(["film"] * 20) == (20, 17)
    assert both.shown(["film"] * 40) == (37, 0)
    assert both.shown(["film", "films"] * 9) == (18, 7)
    assert one.shown(["film"] * 40) == (38, 0) and one.shown(["films"] * 40) == (19, 0)
    assert both.shown([]) == (0, 0)
    text = " ".join(["film"] * 20)
    for at, there in ((0, True), (19, True), (36, True), (37, False)):
        words = ["film"] * max(20, at + 1)
        words[at] = "[MASK]"
        assert bool(both([" ".join(words)], ["" if at >= 20 else text[: 17 * 5]])[0]) == there


def test_which_words_are_one_piece(params, tokenizer):
    asked = asker(params, tokenizer, True)
    assert [asked.single(word) for word in ("Film", "films", "zzz", "[MASK]")] == [True] + [
        False
    ] * 3
    assert asker(params, tokenizer, True).digest == asked.digest
    assert asker(params, tokenizer, False).digest != asked.digest


@pytest.fixture(scope="module")
def masked(params, tokenizer):
    return asker(params, tokenizer, True)


KNOWN = st.lists(st.one_of(st.sampled_from(PIECES.split()), ANY), max_size=30)
READ = KNOWN.map(lambda parts: clean(" ".join(parts)))  # as every reader of files leaves a text


@settings(deadline=None, max_examples=25)
@given(READ, READ, st.sampled_from(CUTTERS), st.integers(0, 2**31 - 1))
def test_any_pair_of_texts_with_words_of_a_masked_lm(masked, one, other, split, row):
    fill = {"fill": masked, "single": masked.single, "shown": masked.shown, "near": None}
    found = proposer(split=split, count=5, **fill)
    check_copies(found, one, other, row)
    for text, candidates in zip((one, other), found([one, other]), strict=True):
        cut = split(text)
        fits, _ = masked.shown(cut)
        for number, (word, choices) in enumerate(zip(cut, candidates, strict=True)):
            asked = number < fits and eligible(word) and masked.single(word)
            assert len(choices) == len(set(choices)) == 5 * asked
            plain = {choice.lower() for choice in choices}
            assert plain <= {*PIECES.split()[8:]} - {word.lower()}


def test_a_checkpoint_with_its_head_proposes_for_the_words_that_it_knows(params, tmp_path):
    save_file(to_huggingface(params, SHAPE, mlm=True), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config_from_shape(SHAPE, ("a", "b"))))
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES.split()) + "\n", "utf-8")
    (tmp_path / "vectors.txt").write_text("films 1 0\nmovies 2 1\n", "utf-8")
    said: list[str] = []
    room = SimpleNamespace(
        task=find_task("sst2"),
        mesh=make_mesh(),
        poll=lambda: None,
        log=SimpleNamespace(notice=said.append),
    )
    asked = {
        "augment.name": "tinybert",
        "augment.model": tmp_path,
        "augment.vectors": tmp_path / "vectors.txt",
        "augment.candidates": 3,
    }
    recipe = str(Path(__file__).parents[1] / "configs" / "tinybert_sst2.py")
    flags = [f"--config.{key}={value}" for key, value in asked.items()]
    about = from_command_line(["main", f"--config={recipe}", *flags]).augment
    texts = [("The films, a dull plot",), ("zzz",)]
    train = Examples(np.arange(2, dtype=np.int32), ([t for (t,) in texts],), np.zeros(2, np.int32))
    maker = make_maker(about, train, room)
    items = maker.prepare([0, 1], texts)
    assert [(row, found) for row, found, _ in items] == [(0, texts[0]), (1, texts[1])]
    of_films, of_dull, of_plot = (items[0][2][0][at] for at in (1, 4, 5))
    assert of_films == ["movies"]
    assert len(of_dull) == len(of_plot) == 3
    assert "dull" not in of_dull
    assert set(of_dull) | set(of_plot) < set(PIECES.split()[8:])
    assert [items[0][2][0][at] for at in (0, 2, 3)] == [[], [], []]
    assert items[1][2] == ([[]],)
    assert said[-1].startswith("augment tinybert: 1 of 4 words")
    masked = {**asked, "augment.original_visible": False}
    flags = [f"--config.{key}={value}" for key, value in masked.items()]
    other = from_command_line(["main", f"--config={recipe}", *flags]).augment
    assert make_maker(other, train, room).identity["model"] != maker.identity["model"]


HAN = "好 大 喜 欢 讨 厌 酒 店 电 影"
ALIKE = {**dict.fromkeys("喜厌好", (1, 0, 0)), **dict.fromkeys("欢讨大", (0, 1, 0))}
"""Two words are the same to their vectors; their halves are to each other crosswise, and to 好, 大.
"""


def test_a_chinese_word_is_replaced_as_a_whole_by_a_whole_word(params, tmp_path):
    pytest.importorskip("jieba")
    pieces = [*PIECES.split()[:5], *HAN.split(), "，", "##喜", "##欢"]
    assert len(pieces) == SHAPE.vocab
    save_file(to_huggingface(params, SHAPE, mlm=True), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config_from_shape(SHAPE, ("a", "b"))))
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    table = np.array([ALIKE.get(piece, (0, 0, at)) for at, piece in enumerate(pieces)], "f4")
    knows = {"embeddings": {"word": {"embedding": table}}}
    room = SimpleNamespace(
        task=find_task("chnsenticorp"),
        teacher=SimpleNamespace(params=knows, tokenizer=load_tokenizer(tmp_path)),
        mesh=make_mesh(),
        poll=lambda: None,
        log=SimpleNamespace(notice=lambda text: None),
    )
    asked = {"name": "tinybert", "model": tmp_path, "vectors": "teacher", "candidates": 1}
    recipe = str(Path(__file__).parents[1] / "configs" / "tinybert_chnsenticorp.py")
    flags = [f"--config.augment.{k}={v}" for k, v in {**asked, "p_t": 1.0, "copies": 3}.items()]
    about = from_command_line(["main", f"--config={recipe}", *flags]).augment
    assert about.words == "jieba"
    texts = ["好，喜欢酒店", "大，讨厌电影"]
    train = Examples(np.arange(2, dtype=np.int32), (texts,), np.zeros(2, np.int32))
    maker = make_maker(about, train, room)
    items = maker.prepare([0, 1], [(text,) for text in texts])
    for item, word, other, whole in zip(
        items, "好大", ("讨厌", "喜欢"), ("电影", "酒店"), strict=True
    ):
        ((of_one_piece, of_comma, of_feeling, of_thing),) = item[2]
        assert (of_comma, of_feeling, of_thing) == ([], [other], [whole])
        (found,) = of_one_piece  # the masked-LM's: a whole piece, and another one
        assert found in pieces[5:16] and found != word
        made = [copy.texts for copy in maker.work(*item)]
        assert made == [(f"{found}，{other}{whole}",)] * 3
