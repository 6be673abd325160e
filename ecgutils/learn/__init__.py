"""Flat images in, findings out.

dataset        flat images with labels, as arrays; their folders; how batches are drawn from them
augmentation   varies a batch of pages in training
views          varies them at test time
model          the network: a timm backbone, with or without ImageNet weights, and a head that keeps places on the page
settings       how long and how fast a training goes
optimizer      which weights learn how fast, and by which rule
redraw         flat pages drawn straight from signals, others each time
processes      one training in several processes
train          the training loop, resumable to the bit
checkpoint     folders of weights and what made them
exported       networks as ONNX files
inference      from images to a table of probabilities
explain        where on the page a score came from

A module is imported when a name of it is asked for: PyTorch takes seconds, and predicting by ONNX files needs none.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "augmentation": "augment",
    "checkpoint": "NAMED REAL SHIPPED SIMULATED load_model save_model seen_before start_from take_weights",
    "dataset": "FlatSet build_sets join_sets load_sets",
    "explain": "heat_maps heat_on_photo",
    "exported": "ExportedModel load_exported",
    "inference": "PREDICTION_COLUMNS find_calibration predict predict_set read_photos",
    "model": "ECGModel build_model to_ink",
    "processes": "is_main_process",
    "settings": "FitSettings",
    "train": "History fit",
    "views": "VIEWS View",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
