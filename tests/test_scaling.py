"""The arithmetic of docs/scaling.md by hand; the document holds what the program prints."""

from __future__ import annotations

from pathlib import Path

import pytest

scaling = pytest.importorskip("benchmarks.scaling")
DOCUMENT = Path(__file__).parents[1] / "docs" / "scaling.md"
THIN = scaling.STUDENTS["4 x 312"]


def test_the_document_has_the_tables_of_the_program(capsys):
    scaling.main()
    tables = capsys.readouterr().out.split("\n\n")
    assert len(tables) == 4
    said = DOCUMENT.read_text("utf-8")
    for table in tables:
        assert table.strip() in said


def test_parameters_are_those_of_the_published_models():
    assert scaling.TEACHER.parameters() == 109_482_240  # bert-base-uncased without a head
    assert THIN.parameters() == 14_350_248  # huawei-noah/TinyBERT_General_4L_312D without heads


def test_flops_by_hand():
    # 12 layers of 2 * (4 * 768^2 + 2 * 768 * 3072 + 2 * 128 * 768) = 14,548,992
    assert scaling.TEACHER.flops(128) == 12 * 14_548_992
    # 4 layers of 2 * (389,376 + 748,800 + 79,872), and 5 projections of 2 * 312 * 768
    student = 4 * 2 * (389_376 + 748_800 + 79_872) + 5 * 479_232
    assert scaling.general(THIN) == 174_587_904 + 3 * student


def test_seconds_bytes_and_hours_by_hand():
    chip = scaling.Chip("made up", peak=100e12, memory=1e9, link=20e9)
    # 10 chips at half of 100 TFLOP/s, 250 MFLOP a token: 500e12 / 250e6
    assert scaling.rate(chip, 10, 250e6, 0.5) == 2e6
    # Of 8 chips each sends 7/8 of the gradients twice, 4 bytes a parameter.
    assert scaling.reduced(1_000_000, 8) == 7e6
    compute, moved = scaling.step(chip, 8, 80, 250e6, 1_000_000, 0.5)
    assert compute == pytest.approx(10 * 128 * 250e6 / 50e12)
    assert moved == pytest.approx(7e6 / 10e9)  # half of the link is reached


def test_an_epoch_of_sst2_by_hand():
    slots = 67_349 * (0.7199 * 16 + 0.2250 * 32 + 0.0550 * 64 + 0.0001 * 128)
    assert slots == pytest.approx(1.5e6, rel=0.01)
    flat = scaling.Bert(1, 10, 0)  # 2 * (400 + 20 T) FLOPs a token
    by_hand = sum(
        67_349 * share * length * 3 * 2 * (400 + 20 * length)
        for length, share in ((16, 0.7199), (32, 0.2250), (64, 0.0550), (128, 0.0001))
    )
    assert scaling.sst2([(flat, 3)]) == pytest.approx(by_hand)


def test_memory_by_hand():
    # Parameters, gradients and two moments; the projection is 312 x 768 and a bias.
    assert scaling.trained(THIN) == 14_350_248 + 313 * 768
    assert scaling.resident(THIN) == 16 * (14_350_248 + 240_384) + 4 * 109_482_240
    read = 13 * 128 * 768 + 12 * 12 * 128 * 128
    layer = 128 * (5 * 312 + 2 * 1200) + 2 * 12 * 128 * 128
    assert scaling.activations(THIN) == 4 * (read + 4 * layer + 5 * 128 * 768)
