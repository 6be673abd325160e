"""Flat images in, findings out: data sets, model, training, prediction."""

from ecgutils.learn.augmentation import augment
from ecgutils.learn.checkpoint import SHIPPED, load_model, save_model, take_weights
from ecgutils.learn.dataset import FlatSet, join_sets
from ecgutils.learn.explain import heat_maps, heat_on_photo
from ecgutils.learn.inference import PREDICTION_COLUMNS, predict, predict_logits, predict_set
from ecgutils.learn.model import ECGModel, build_model, to_ink
from ecgutils.learn.sets import build_sets, load_sets
from ecgutils.learn.settings import FitSettings, baseline_settings, stage1_settings, stage2_settings
from ecgutils.learn.train import History, fit
from ecgutils.learn.views import VIEWS, View

__all__ = [
    "PREDICTION_COLUMNS",
    "SHIPPED",
    "VIEWS",
    "ECGModel",
    "FitSettings",
    "FlatSet",
    "History",
    "View",
    "augment",
    "baseline_settings",
    "build_model",
    "build_sets",
    "fit",
    "heat_maps",
    "heat_on_photo",
    "join_sets",
    "load_model",
    "load_sets",
    "predict",
    "predict_logits",
    "predict_set",
    "save_model",
    "stage1_settings",
    "stage2_settings",
    "take_weights",
    "to_ink",
]
