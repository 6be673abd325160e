"""When the atria and the ventricles fire: sinus rhythm with its irregularities, heart block, fibrillation, flutter."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

DURATION_S = 10
AV_BLOCKS = ("wenckebach", "two_to_one", "complete_block")
# Amplitude of the two sources of fibrillatory waves in I, II, V1..V6; strongest in V1, then the inferior leads.
_F_WAVES = [[0.10, 0.55, 1.00, 0.50, 0.30, 0.20, 0.15, 0.15], [0.30, -0.20, 0.45, 0.30, 0.15, 0.10, 0.20, 0.20]]


@dataclass
class Rhythm:
    """Event times in seconds; beats may lie outside the recording.

    `beats` (B,) QRS onsets; `ectopic` (B,) bool, ventricular premature; `rr` (B,) the interval before each beat;
    `p_waves` (P,) onsets of P waves; `notes` what makes the rhythm unusual; `flutter_hz` rate of flutter waves.
    """

    beats: np.ndarray
    ectopic: np.ndarray
    rr: np.ndarray
    p_waves: np.ndarray
    notes: tuple[str, ...] = ()
    flutter_hz: float | None = None


def draw_rhythm(rng: Generator, kind: str, rate: float, pr: float, age: float, wide_escape: bool = False) -> Rhythm:
    """Draw event times over DURATION_S with a beat or two to spare on each side.

    kind : "sinus", "AF", "flutter", "wenckebach", "two_to_one", "complete_block" or "paced".
    rate : mean beats/min ("wenckebach", "two_to_one", "complete_block": of the atria). pr : seconds.
    wide_escape : complete block with a slow ventricular, not a junctional, escape.
    """
    mean = 60 / rate
    count = int(DURATION_S / mean * 2.2) + 8
    start = -mean * rng.uniform(1, 2)
    if kind == "AF":
        spread = float(np.clip(rng.normal(0.23, 0.06), 0.12, 0.40))
        rhythm = _from_rr(start, np.maximum(mean * rng.gamma(spread**-2, spread**2, count), 0.28))
    elif kind == "flutter":
        hertz = rng.uniform(4.1, 5.3)
        ratios = {0: [2], 1: [4], 2: [2, 3, 4]}[int(rng.integers(3))]
        rhythm = _from_rr(start, rng.choice(ratios, int(DURATION_S * hertz / 2) + 8) / hertz)
        rhythm.flutter_hz = hertz
    elif kind == "paced":
        rhythm = _from_rr(start, np.full(count, mean) * (1 + 0.002 * rng.standard_normal(count)))
        if rng.random() < 0.5:  # ventricular pacing that follows the atria
            rhythm.p_waves = rhythm.beats - pr
    elif kind in AV_BLOCKS:
        return _blocked(rng, kind, start + np.cumsum(_sinus_rr(rng, mean, count, age, 0.0)), pr, wide_escape)
    else:
        respiratory = rng.uniform(0.07, 0.16) if rng.random() < 0.10 else 0.0
        rhythm = _from_rr(start, _sinus_rr(rng, mean, count, age, respiratory))
        rhythm.p_waves = rhythm.beats - pr
        rhythm.notes = ("respiratory_arrhythmia",) if respiratory else ()
        _add_premature(rng, rhythm, "atrial", 0.06, pr)
    _add_premature(rng, rhythm, "ventricular", 0.07, pr)
    return rhythm


def atrial_waves(rng: Generator, time: np.ndarray, rhythm: Rhythm) -> np.ndarray:
    """Flutter or fibrillatory waves of the eight independent leads, float64 (8, N) mV at evenly spaced `time` (N,)."""
    if rhythm.flutter_hz is not None:
        # a sawtooth that falls slowly and rises fast, negative in the inferior leads and positive in V1
        phase = 2 * np.pi * rhythm.flutter_hz * time + rng.uniform(0, 2 * np.pi)
        saw = sum(np.sin(k * phase + 0.4 * (k - 1)) / k for k in (1, 2, 3))
        gains = np.array([-0.05, -1.0, 0.6, 0.25, 0.1, 0.0, -0.1, -0.15]) * rng.lognormal(0, 0.25, 8)
        return rng.uniform(0.06, 0.16) * gains[:, None] * saw
    # two atrial sources whose frequency and amplitude wander, with harmonics; median size .032 mV in V1
    main, step, waves = rng.uniform(4.8, 8.8), time[1] - time[0], []
    for frequency in (main, main * rng.uniform(0.85, 1.15)):
        slow = _wobble(rng, time, 0.1, 0.9)
        phase = 2 * np.pi * np.cumsum(frequency * (1 + 0.10 * slow)) * step + rng.uniform(0, 2 * np.pi)
        second, third = rng.uniform(0, 0.5), rng.uniform(0, 0.2)
        wave = np.sin(phase) + second * np.sin(2 * phase + 1) + third * np.sin(3 * phase + 2)
        waves.append(wave * np.maximum(1 + 0.5 * _wobble(rng, time, 0.1, 1.2), 0.1))
    gains = np.transpose(_F_WAVES) * (1 + 0.25 * rng.standard_normal((8, 2)))
    return 0.032 * rng.lognormal(0, 0.5) * gains @ np.stack(waves)


def _wobble(rng: Generator, time: np.ndarray, low: float, high: float) -> np.ndarray:
    """A smooth random function of time of about unit variance: three sines between `low` and `high` Hz."""
    frequency, phase = rng.uniform(low, high, (3, 1)), rng.uniform(0, 2 * np.pi, (3, 1))
    return np.sin(2 * np.pi * frequency * time + phase).sum(axis=0) * np.sqrt(2 / 3)


def _sinus_rr(rng: Generator, mean: float, count: int, age: float, respiratory: float) -> np.ndarray:
    """RR intervals (count,) in seconds: respiratory (.2-.3 Hz) and slower (.1 Hz) waves plus noise, less with age."""
    when = np.arange(count) * mean
    young = float(np.clip(1.5 - age / 80, 0.35, 1.4))
    breath = respiratory or 0.028 * young * rng.lognormal(0, 0.6)
    wave = breath * np.sin(2 * np.pi * rng.uniform(0.18, 0.32) * when + rng.uniform(0, 2 * np.pi))
    wave += 0.02 * young * np.sin(2 * np.pi * 0.1 * when + rng.uniform(0, 2 * np.pi))
    return mean * (1 + wave + 0.006 * rng.standard_normal(count))


def _from_rr(start: float, rr: np.ndarray) -> Rhythm:
    return Rhythm(start + np.cumsum(rr), np.zeros(len(rr), dtype=bool), rr, np.empty(0))


def _add_premature(rng: Generator, rhythm: Rhythm, origin: str, share: float, pr: float) -> None:
    """With probability `share` make one to three beats (or every other beat) premature, in place. An atrial extra beat
    resets the sinus node, so all later beats come earlier; a ventricular one does not."""
    if rng.random() >= share:
        return
    inside = np.flatnonzero((rhythm.beats > 0.5) & (rhythm.beats < DURATION_S))[1::2]
    many = rng.random() < 0.1
    chosen = inside if many else np.sort(rng.choice(inside, min(len(inside), int(rng.integers(1, 4))), replace=False))
    beats = rhythm.beats
    for i in chosen:
        early = rhythm.rr[i] * rng.uniform(0.22, 0.40)
        if origin == "atrial":
            beats[i:] -= early
            rhythm.p_waves[i:] -= early
        else:
            beats[i] -= early
    rhythm.rr = np.diff(beats, prepend=beats[0] - rhythm.rr[0])
    if origin == "ventricular":
        rhythm.ectopic[chosen] = True
        if len(rhythm.p_waves) == len(beats):
            rhythm.p_waves = rhythm.p_waves[~rhythm.ectopic]
    rhythm.notes += (f"premature_{origin}" + ("_bigeminy" if many else ""),)


def _blocked(rng: Generator, kind: str, p_waves: np.ndarray, pr: float, wide_escape: bool) -> Rhythm:
    """Second- and third-degree AV block: P waves go on, beats are dropped or independent."""
    if kind == "complete_block":
        rr = 60 / (rng.uniform(28, 42) if wide_escape else rng.uniform(38, 55))
        beats = np.arange(-rng.uniform(1, 2) * rr, DURATION_S + rr, rr)
    elif kind == "two_to_one":
        beats = p_waves[int(rng.integers(2)) :: 2] + pr
    else:
        cycle, place = int(rng.integers(3, 6)), int(rng.integers(3))
        position = (np.arange(len(p_waves)) + place) % cycle
        delays = pr + np.cumsum(np.concatenate([[0.0], rng.uniform(0.07, 0.12) * 0.6 ** np.arange(cycle)]))
        beats = (p_waves + delays[position])[position < cycle - 1]
    rr = np.diff(beats, prepend=2 * beats[0] - beats[1])
    return Rhythm(beats, np.zeros(len(beats), dtype=bool), rr, p_waves)
