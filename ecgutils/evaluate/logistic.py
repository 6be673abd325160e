"""Logistic regression as calibration and blending need it: soft targets, bounds, weights held near a prior."""

import numpy as np
from scipy.special import expit, logit

_EPSILON = 1e-7  # keeps the logit of a probability of exactly 0 or 1 finite


def log_odds(p: np.ndarray) -> np.ndarray:
    """Logit of probabilities, finite for 0 and 1 too; NaN stays."""
    return logit(np.clip(p, _EPSILON, 1 - _EPSILON))


def fit_logistic(
    x: np.ndarray, target: np.ndarray, prior: np.ndarray, ridge: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """Weights w (K,), none below `least` (K,), of expit(x @ w); x (N, K), target (N,) in [0, 1].

    They minimise the mean log loss + sum of ridge * (w - prior) ** 2; ridge and prior are (K,).
    """
    from scipy.optimize import minimize  # half a second to import, and reading a photo fits nothing

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z, away = x @ weights, weights - prior
        value = np.mean(np.logaddexp(0, z) - target * z) + ridge @ away**2
        return float(value), (expit(z) - target) @ x / len(x) + 2 * ridge * away

    bounds, exact = list(zip(least, np.full(len(least), np.inf), strict=True)), {"ftol": 1e-15, "gtol": 1e-10}
    return minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds, options=exact | {"maxiter": 1000}).x
