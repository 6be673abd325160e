"""Probabilities that mean what they say: curves fitted per finding, on patients that no model learned from.

Calibrated means: of images *of the domain it was fitted on* that get .3, about 30 % have the finding. It says nothing
of another hospital: the domain is stored with the curves, and goes with the probabilities in `calibrated_on`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ecgutils.evaluate.metrics import intervals_by
from ecgutils.evaluate.predictions import Scored, join_truth, prediction_table
from ecgutils.files import write_json
from ecgutils.findings import FINDINGS

STAGE_PERFECT = 52
_EPSILON = 1e-7  # keeps the logit of a probability of exactly 0 or 1 finite
_LEAST_SLOPE = 0.01  # above 0, so that a curve never changes an order
_RAW = {"slope": 1.0, "intercept": 0.0}  # the curve of a finding that is left as it is


def log_odds(p: np.ndarray) -> np.ndarray:
    """Logit of probabilities, finite for 0 and 1 too; NaN stays."""
    return logit(np.clip(p, _EPSILON, 1 - _EPSILON))


@dataclass(frozen=True)
class Calibration:
    """One curve per finding from raw to calibrated probability; made by `fit_calibration`.

    domain : what the images were, in words, e.g. "photo-like renders of simulated signals".
    patients : "by patient", or "ungrouped" where patients are unknown and may have been trained on too.
    images, positives : how many images, and of them positives per finding, the curves rest on.
    curves : {"slope", "intercept"} on the logit, by finding.
    models : sha256 of the weights of the members whose mean it was fitted for; () where that isn't known.
    """

    domain: str
    patients: str
    images: int
    positives: dict[str, int]
    curves: dict[str, dict[str, float]]
    models: tuple[str, ...] = ()

    def apply(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """The table with calibrated probabilities and `calibrated_on`; ValueError where it is bad or has it already."""
        if "calibrated_on" in predictions:
            raise ValueError("These probabilities are calibrated already; apply the calibration to raw ones.")
        table = prediction_table(predictions, "calibration")
        table[list(FINDINGS)] = self.transform(table[list(FINDINGS)].to_numpy())
        return table.assign(calibrated_on=self.describe())

    def transform(self, p: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, 5) of raw ones (N, 5)."""
        slope, intercept = np.array([[self.curves[f]["slope"], self.curves[f]["intercept"]] for f in FINDINGS]).T
        return expit(slope * log_odds(p) + intercept)

    def describe(self) -> str:
        """What to print beside a probability."""
        raw = [finding for finding in FINDINGS if self.curves[finding] == _RAW]
        but = f"; {', '.join(raw)} left raw" if raw else ""
        return f"{self.domain} ({self.images} images, {self.patients}{but})"

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, {"findings": FINDINGS, **asdict(self)})

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read what `save` wrote; FileNotFoundError, or ValueError when it is no calibration of these findings."""
        try:
            content = json.loads(Path(path).read_text())
            findings = tuple(content.pop("findings"))
            calibration = cls(**content | {"models": tuple(content["models"])})
            if not np.isfinite(calibration.transform(np.full((1, len(FINDINGS)), 0.4))).all():
                raise ValueError("a curve is not finite")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is not a calibration ({error!r}): fit it anew.") from error
        if findings != FINDINGS:
            raise ValueError(f"{path} is a calibration of {findings}, not of {FINDINGS}.")
        return calibration


def fit_calibration(
    predictions: pd.DataFrame, truth: pd.DataFrame, domain: str, models: Sequence[str] = (), fewest: int = 0
) -> Calibration:
    """Fit the curves on predictions for images that the models have *not* been trained on.

    predictions : table with ID and five raw probabilities; rows without an answer take no part.
    truth : manifest with the labels of the same images, joined by ID.
    domain, models : what these images are, in words; sha256 of the weights of each member that predicted.
    fewest : a finding with fewer positives or negatives keeps its raw probability; ValueError where all do.

    Two numbers per finding, with Platt's smoothed targets: so it stands few, even no, positives; no order changes.
    """
    calibration = _fit(join_truth(predictions, truth), domain, tuple(models), fewest)
    if all(curve == _RAW for curve in calibration.curves.values()):
        raise ValueError(f"No finding has {fewest} answered positives and negatives to fit on: label more images.")
    return calibration


def cross_calibrate(predictions: pd.DataFrame, truth: pd.DataFrame, domain: str, fewest: int = 0) -> pd.DataFrame:
    """Out-of-fold calibrated probabilities: every patient's by curves fitted on the other folds' patients. Arguments as
    `fit_calibration`. Sorted by ID, in whatever order rows come. ValueError with fewer than two patients."""
    scored = join_truth(predictions, truth)
    table = prediction_table(predictions, "calibration").sort_values("ID", ignore_index=True)
    for left_out in scored.folds(seed=0):
        fitted = _fit(scored.subset(~left_out), domain, fewest=fewest)
        table.loc[left_out, list(FINDINGS)] = fitted.transform(scored.p[left_out])
    return table.assign(calibrated_on=f"{domain} (cross-fitted, {len(table)} images, {intervals_by(scored.clusters)})")


def _fit(scored: Scored, domain: str, models: tuple[str, ...] = (), fewest: int = 0) -> Calibration:
    """Logistic curves on the logit with targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2): Platt 1999. A standard normal
    prior of ours holds the slope near 1, so that a handful of images can't make it 10."""
    curves, positives = {}, {}
    prior, least = np.array([1.0, 0]), np.array([_LEAST_SLOPE, -np.inf])
    for k, finding in enumerate(FINDINGS):
        known = ~np.isnan(scored.p[:, k]) & ~np.isnan(scored.y[:, k])
        y = scored.y[known, k]
        n, n1 = len(y), y.sum()
        positives[finding] = int(n1)
        if min(n1, n - n1) < fewest or not n:
            curves[finding] = dict(_RAW)
            continue
        x = np.column_stack([log_odds(scored.p[known, k]), np.ones(n)])
        target = np.where(y > 0, (n1 + 1) / (n1 + 2), 1 / (n - n1 + 2))
        curve = fit_logistic(x, target, prior, ridge=np.array([0.5 / n, 0]), least=least)
        curves[finding] = dict(zip(("slope", "intercept"), curve.tolist(), strict=True))
    answered = int((~np.isnan(scored.p)).any(axis=1).sum())
    return Calibration(domain, intervals_by(scored.clusters), answered, positives, curves, models)


def fit_logistic(x: np.ndarray, y: np.ndarray, prior: np.ndarray, ridge: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Weights w (K,), none below `least` (K,), of expit(x @ w); x (N, K), y (N,) in [0, 1]. They minimise the mean
    log loss + sum of ridge * (w - prior) ** 2; ridge and prior are (K,)."""
    from scipy.optimize import minimize  # half a second to import, and reading a photo fits nothing

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z, away = x @ weights, weights - prior
        value = np.mean(np.logaddexp(0, z) - y * z) + ridge @ away**2
        return float(value), (expit(z) - y) @ x / len(x) + 2 * ridge * away

    bounds, exact = list(zip(least, np.full(len(least), np.inf), strict=True)), {"ftol": 1e-15, "gtol": 1e-10}
    return minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds, options=exact | {"maxiter": 1000}).x


def reliability(y: np.ndarray, p: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """What was said and what came: finding, said (mean probability), observed (share of positives), n; a row per bin.

    y, p : (N, 5), NaN allowed. Bins hold about equally many images; equal probabilities are never parted.
    """
    tables = []
    for k, finding in enumerate(FINDINGS):
        said, came, inside = _binned(y[:, k], p[:, k], bins)
        n = inside.sum(axis=1)
        table = {"finding": finding, "said": inside @ said / n, "observed": inside @ came / n, "n": n.astype(int)}
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def calibration_error(y: np.ndarray, p: np.ndarray, bins: int = 10, seed: int = 0) -> pd.DataFrame:
    """Brier score and expected calibration error (ECE) per finding, "macro" (their mean) first; y, p : (N, 5).

    Columns finding, brier, ece, ece_if_perfect, n, positives. ECE is the mean distance of said from observed over the
    bins of `reliability`, weighted by their images. Even perfect probabilities show an ECE in so many images:
    `ece_if_perfect` is its mean over 200 sets of labels drawn from `p`. An ECE near it can't be told from none.
    """
    rng = np.random.default_rng([seed, STAGE_PERFECT])
    rows = []
    for k, finding in enumerate(FINDINGS):
        said, came, inside = _binned(y[:, k], p[:, k], bins)
        n = len(said)
        labels = np.vstack([came, rng.random((200, n)) < said])
        ece, *chance = np.abs((labels - said) @ inside.T).sum(axis=1) / n if n else [np.nan] * 2
        brier = np.mean((said - came) ** 2) if n else np.nan
        rows.append([finding, brier, ece, np.mean(chance), n, int(came.sum())])
    table = pd.DataFrame(rows, columns=["finding", "brier", "ece", "ece_if_perfect", "n", "positives"])
    macro = ["macro", *table[["brier", "ece", "ece_if_perfect"]].mean(), table["n"].max(), table["positives"].sum()]
    return pd.concat([pd.DataFrame([macro], columns=table.columns), table], ignore_index=True)


def _binned(y: np.ndarray, p: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where both are known: sorted probabilities (n,), their labels (n,), and what each bin holds, float (bins, n)."""
    known = np.flatnonzero(~np.isnan(y) & ~np.isnan(p))
    known = known[np.lexsort([y[known], p[known]])]  # sums then come out the same for rows in any order
    said = p[known]
    place = np.searchsorted(np.quantile(said, np.arange(1, bins) / bins), said, side="right") if len(said) else known
    return said, y[known], (place == np.unique(place)[:, None]).astype(np.float64)
