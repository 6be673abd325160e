"""Flat images in, findings out: data sets, model, training, metrics, prediction."""

from ecgutils.learn.augmentation import augment
from ecgutils.learn.checkpoint import load_model, save_model, take_weights
from ecgutils.learn.dataset import FlatSet
from ecgutils.learn.inference import PREDICTION_COLUMNS, predict, predict_logits, predict_set
from ecgutils.learn.metrics import auroc_by_finding, bootstrap_auroc, macro_auroc, paired_difference
from ecgutils.learn.model import ECGModel, build_model, to_ink
from ecgutils.learn.sets import build_sets, load_sets
from ecgutils.learn.settings import FitSettings, arm_settings, baseline_settings, stage1_settings, stage2_settings
from ecgutils.learn.train import History, fit

__all__ = [
    "PREDICTION_COLUMNS",
    "ECGModel",
    "FitSettings",
    "FlatSet",
    "History",
    "arm_settings",
    "augment",
    "auroc_by_finding",
    "baseline_settings",
    "bootstrap_auroc",
    "build_model",
    "build_sets",
    "fit",
    "load_model",
    "load_sets",
    "macro_auroc",
    "paired_difference",
    "predict",
    "predict_logits",
    "predict_set",
    "save_model",
    "stage1_settings",
    "stage2_settings",
    "take_weights",
    "to_ink",
]
