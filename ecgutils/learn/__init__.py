"""Flat images in, findings out: data sets, model, training, metrics, prediction."""

from ecgutils.learn.augmentation import augment
from ecgutils.learn.calibration import (
    Calibration,
    calibration_error,
    cross_calibrate,
    fit_calibration,
    reliability,
)
from ecgutils.learn.checkpoint import SHIPPED, load_model, save_model, take_weights
from ecgutils.learn.dataset import FlatSet, join_sets
from ecgutils.learn.explain import heat_by_lead, heat_maps, heat_on_photo
from ecgutils.learn.inference import PREDICTION_COLUMNS, predict, predict_logits, predict_set
from ecgutils.learn.metrics import (
    auroc_by_finding,
    auroc_by_group,
    bootstrap_auroc,
    macro_auroc,
    paired_difference,
    quality_band,
)
from ecgutils.learn.model import ECGModel, build_model, to_ink
from ecgutils.learn.operating import abstention_curve, choose_thresholds, rates_at
from ecgutils.learn.predictions import Scored, grouped_folds, join_truth
from ecgutils.learn.sets import build_sets, load_sets
from ecgutils.learn.settings import FitSettings, arm_settings, baseline_settings, stage1_settings, stage2_settings
from ecgutils.learn.train import History, fit
from ecgutils.learn.views import VIEWS, View

__all__ = [
    "PREDICTION_COLUMNS",
    "SHIPPED",
    "VIEWS",
    "Calibration",
    "ECGModel",
    "FitSettings",
    "FlatSet",
    "History",
    "Scored",
    "View",
    "abstention_curve",
    "arm_settings",
    "augment",
    "auroc_by_finding",
    "auroc_by_group",
    "baseline_settings",
    "bootstrap_auroc",
    "build_model",
    "build_sets",
    "calibration_error",
    "choose_thresholds",
    "cross_calibrate",
    "fit",
    "fit_calibration",
    "grouped_folds",
    "heat_by_lead",
    "heat_maps",
    "heat_on_photo",
    "join_sets",
    "join_truth",
    "load_model",
    "load_sets",
    "macro_auroc",
    "paired_difference",
    "predict",
    "predict_logits",
    "predict_set",
    "quality_band",
    "rates_at",
    "reliability",
    "save_model",
    "stage1_settings",
    "stage2_settings",
    "take_weights",
    "to_ink",
]
