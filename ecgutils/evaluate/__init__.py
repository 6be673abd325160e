"""Predictions beside their truth: metrics with intervals, calibration, operating points, blends, splits by patient.

Nothing here needs torch."""

from ecgutils.evaluate.blend import BLENDS, blend, cross_blend, fit_weights
from ecgutils.evaluate.calibration import Calibration, calibration_error, cross_calibrate, fit_calibration, reliability
from ecgutils.evaluate.labelled import match_truth, read_thresholds, score_table, worst_errors
from ecgutils.evaluate.metrics import auroc_by_finding, auroc_by_group, bootstrap_auroc, macro_auroc, paired_difference
from ecgutils.evaluate.operating import abstention_curve, choose_thresholds, heat_by_lead, outline_errors, rates_at
from ecgutils.evaluate.predictions import (
    fill_unreadable,
    grouped_folds,
    join_truth,
    quality_band,
    read_predictions,
    scores_by_id,
)
from ecgutils.manifest import check_roles
