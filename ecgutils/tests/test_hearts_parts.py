"""Rhythms, noise and leads, each against a known answer."""

import numpy as np
import pytest

from ecgutils.hearts.heart import lead_matrices, rotation, twelve_leads
from ecgutils.hearts.noise import _LEADS_FROM_ELECTRODES, lead_noise
from ecgutils.hearts.rhythm import atrial_waves, draw_rhythm

KINDS = ("sinus", "AF", "wenckebach", "two_to_one", "complete_block", "paced", "flutter")


def rhythms(kind, count=40, **changes):
    arguments = {"rate": 75, "pr": 0.16, "age": 60} | changes
    return [draw_rhythm(np.random.default_rng([kind == "AF", i]), kind, **arguments) for i in range(count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [40, 75, 160])
def test_every_rhythm_fills_the_recording_in_order(kind, rate):
    for rhythm in rhythms(kind, 15, rate=rate):
        assert rhythm.beats[0] < 1.6
        assert rhythm.beats[-1] > 8.0
        assert (np.diff(rhythm.beats) > 0.1).all()
        np.testing.assert_allclose(np.diff(rhythm.beats), rhythm.rr[1:], atol=1e-9)


def test_fibrillation_is_irregular_and_has_no_p_waves():
    spread = [r.rr.std() / r.rr.mean() for r in rhythms("AF") if not r.ectopic.any()]
    assert np.median(spread) == pytest.approx(0.23, abs=0.05)
    assert all(len(r.p_waves) == 0 for r in rhythms("AF"))


def test_sinus_rhythm_is_regular_and_p_leads_by_pr():
    plain = [r for r in rhythms("sinus", pr=0.18) if not r.notes]
    assert np.median([r.rr.std() / r.rr.mean() for r in plain]) < 0.05
    np.testing.assert_allclose(plain[0].beats - plain[0].p_waves, 0.18)


def test_two_to_one_block_drops_every_other_beat():
    rhythm = rhythms("two_to_one", 1)[0]
    assert abs(2 * len(rhythm.beats) - len(rhythm.p_waves)) <= 1


def test_wenckebach_lengthens_pr_until_a_beat_is_dropped():
    rhythm = rhythms("wenckebach", 1)[0]
    before = rhythm.p_waves[np.searchsorted(rhythm.p_waves, rhythm.beats) - 1]
    pr = rhythm.beats - before
    assert len(rhythm.beats) < len(rhythm.p_waves)
    assert pr.max() > pr.min() + 0.05


def test_a_ventricular_extra_beat_has_no_p_wave_and_a_pause_after_it():
    rhythm = next(r for r in rhythms("sinus", 200) if r.notes == ("premature_ventricular",))
    first = np.flatnonzero(rhythm.ectopic)[0]
    assert len(rhythm.p_waves) == len(rhythm.beats) - rhythm.ectopic.sum()
    assert rhythm.rr[first] < 0.85 * np.median(rhythm.rr) < rhythm.rr[first + 1]


def test_f_waves_are_strongest_in_v1_and_in_their_band():
    time = np.arange(5000) / 500
    af = rhythms("AF", 1)[0]
    waves = np.stack([atrial_waves(np.random.default_rng(i), time, af) for i in range(40)])
    size = np.median(waves.std(axis=2), axis=0)
    assert size.argmax() == 2
    assert 0.01 < size[2] < 0.06
    power = np.abs(np.fft.rfft(waves[:, 2])).mean(axis=0)
    assert 4 < np.fft.rfftfreq(5000, 1 / 500)[power.argmax()] < 10


def test_flutter_is_regular_negative_in_ii_and_conducted_in_whole_numbers():
    time = np.arange(5000) / 500
    for i, rhythm in enumerate(rhythms("flutter", 10)):
        wave = atrial_waves(np.random.default_rng(i), time, rhythm)
        power = np.abs(np.fft.rfft(wave[1]))
        assert np.fft.rfftfreq(5000, 1 / 500)[power.argmax()] == pytest.approx(rhythm.flutter_hz, abs=0.1)
        assert np.corrcoef(wave[1], wave[2])[0, 1] < -0.9
        if not rhythm.ectopic.any():
            ratio = rhythm.rr * rhythm.flutter_hz
            np.testing.assert_allclose(ratio, ratio.round(), atol=1e-9)


def test_noise_is_of_the_stated_size():
    noise = np.stack([lead_noise(np.random.default_rng(i), 5000, 500) for i in range(60)])
    assert 0.01 < np.median(noise.std(axis=2)) < 0.06


def test_leads_are_differences_of_electrodes():
    potentials = np.random.default_rng(1).standard_normal((9, 50))
    eight = _LEADS_FROM_ELECTRODES @ potentials
    np.testing.assert_allclose(eight[0], potentials[1] - potentials[0])
    np.testing.assert_allclose(eight[1], potentials[2] - potentials[0])
    np.testing.assert_allclose(eight[2:], potentials[3:] - potentials[:3].mean(axis=0), atol=1e-12)


def test_noise_common_to_all_electrodes_does_not_reach_the_leads():
    np.testing.assert_allclose(_LEADS_FROM_ELECTRODES @ np.ones(9), 0, atol=1e-15)


def test_twelve_leads_of_known_limb_leads():
    eight = np.zeros((8, 1))
    eight[:2, 0] = 1.0, 0.5
    np.testing.assert_allclose(twelve_leads(eight)[:6, 0], [1.0, 0.5, -0.5, -0.75, 0.75, 0.0])


def test_rotation_of_zero_is_the_identity_and_positive_z_turns_left_to_feet():
    np.testing.assert_array_equal(rotation(), np.eye(3))
    np.testing.assert_allclose(rotation(z=np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_lead_matrices_are_eight_by_three():
    for matrix in lead_matrices(np.random.default_rng(0)):
        assert matrix.shape == (8, 3)
        assert np.isfinite(matrix).all()
