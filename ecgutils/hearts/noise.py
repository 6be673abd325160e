"""Noise as it arises: at nine electrodes, then differenced into leads, so that the lead identities survive."""

from functools import cache

import numpy as np
from scipy.fft import irfft, rfftfreq

_ELECTRODES = 9  # right arm, left arm, left leg, C1..C6

# Relative noise per electrode, set on real records: arms (the left most) carry muscle noise, leg and chest wander.
_WANDER_GAIN = np.array([0.85, 0.85, 1.4, *[1.35] * 6])[:, None]
_MUSCLE_GAIN = np.array([0.9, 1.6, 0.8, *[0.5] * 6])[:, None]

# I = LA - RA, II = LL - RA, Vk = Ck - (RA + LA + LL) / 3
_LEADS_FROM_ELECTRODES = np.zeros((8, _ELECTRODES))
_LEADS_FROM_ELECTRODES[0, :2] = -1, 1
_LEADS_FROM_ELECTRODES[1, [0, 2]] = -1, 1
_LEADS_FROM_ELECTRODES[2:, :3] = -1 / 3
_LEADS_FROM_ELECTRODES[2:, 3:] = np.eye(6)


def lead_noise(rng: np.random.Generator, n: int, fs: float) -> np.ndarray:
    """Draw noise of the eight independent leads, float64 (8, n) in mV, as differences of nine potentials.

    Baseline wander (.08-.7 Hz, median .022 mV), mid-band (.7-8 Hz, .006), muscle (8-130 Hz, amplitude as f^-.6,
    .0038), all RMS and before the gains above; in some records mains hum, decaying electrode steps and muscle bursts.
    """
    wander, middle = _band(n, fs, 0.08, 0.7, -0.5), _band(n, fs, 0.7, 8.0, -0.3)
    muscle = _band(n, fs, 8.0, 130.0, -0.6)
    each = rng.lognormal(0, 0.4, (3, _ELECTRODES, 1))
    level_muscle = 0.0038 * rng.lognormal(0, 0.6)
    shape = 0.022 * rng.lognormal(0, 0.8) * each[0] * _WANDER_GAIN * wander
    shape += 0.006 * rng.lognormal(0, 0.5) * each[1] * middle + level_muscle * each[2] * _MUSCLE_GAIN * muscle
    noise = _coloured(rng, shape, n)

    time = np.arange(n) / fs
    if rng.random() < 0.18:
        centre, width = rng.uniform(0, n / fs), rng.uniform(0.2, 1.5)
        strength = level_muscle * rng.uniform(2, 7) * rng.lognormal(0, 0.6, (_ELECTRODES, 1)) * _MUSCLE_GAIN
        noise += np.exp(-0.5 * ((time - centre) / width) ** 2) * _coloured(rng, strength * muscle, n)
    if rng.random() < 0.08:
        hum = np.sin(2 * np.pi * rng.choice([50.0, 60.0]) * time + rng.uniform(0, 2 * np.pi))
        noise += rng.uniform(0.002, 0.015) * rng.standard_normal((_ELECTRODES, 1)) * hum
    for electrode in np.flatnonzero(rng.random(_ELECTRODES) < 0.02):
        start = rng.uniform(0, n / fs)
        step = rng.normal(0, 0.25) * np.exp(-np.clip(time - start, 0, None) / rng.uniform(0.2, 1.5))
        noise[electrode] += np.where(time >= start, step, 0.0)
    return _LEADS_FROM_ELECTRODES @ noise


@cache
def _band(n: int, fs: float, low: float, high: float, slope: float) -> np.ndarray:
    """Float32 spectrum f^slope between `low` and `high` Hz, for noise of RMS 1; cut off at 130 Hz: no noise above."""
    frequency = rfftfreq(n, 1 / fs)
    frequency = frequency[frequency <= 130.0]
    shape = np.where((frequency >= low) & (frequency <= high), np.maximum(frequency, low) ** slope, 0.0)
    return (shape / np.sqrt((shape**2).sum())).astype(np.float32)


def _coloured(rng: np.random.Generator, shape: np.ndarray, n: int) -> np.ndarray:
    """Gaussian noise (9, n) float32 with the amplitude spectra `shape` (9, bins); bins beyond are empty."""
    white = rng.standard_normal((*shape.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return irfft(white * (shape * (n / 2)).astype(np.float32), n, axis=-1)
