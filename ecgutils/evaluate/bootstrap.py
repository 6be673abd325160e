"""Intervals by the bootstrap: whole patients are drawn again and again, with replacement."""

from collections.abc import Callable

import numpy as np

STAGE_BOOTSTRAP = 51
_CHUNK = 32  # resamples at a time: keeps the working set in cache


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], clusters: np.ndarray, rounds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `statistic` gives for all rows (K,), and for `rounds` resamples of whole clusters (rounds, K).

    statistic : takes how often each row counts, float64 (R, N), and gives (R, K). clusters : (N,), the patients.

    Raises ValueError when `rounds` is below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}.")
    names, member = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    rng, draws = np.random.default_rng([seed, STAGE_BOOTSTRAP]), []
    for start in range(0, rounds, _CHUNK):
        size = min(_CHUNK, rounds - start)
        picks = rng.integers(0, len(names), (size, len(names))) + len(names) * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * len(names)).reshape(size, -1).astype(np.float64)
        draws.append(statistic(counts[:, member]))
    return statistic(np.ones((1, len(member))))[0], np.concatenate(draws)


def percentiles(draws: np.ndarray) -> np.ndarray:
    """2.5th and 97.5th percentile (2, K) of draws (R, K) without their NaN; NaN where a column has nothing else."""
    bounds = np.full((2, draws.shape[1]), np.nan)
    some = ~np.isnan(draws).all(axis=0)
    bounds[:, some] = np.nanquantile(draws[:, some], [0.025, 0.975], axis=0)
    return bounds


def intervals_by(clusters: np.ndarray) -> str:
    """Say "by patient", or "ungrouped" when one of the clusters is an image or a record of an unknown patient."""
    unknown = any(name.startswith(("image:", "record:")) for name in np.asarray(clusters).astype(str).tolist())
    return "ungrouped" if unknown else "by patient"
