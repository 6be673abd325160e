"""Flat images in, findings out.

dataset        flat images with labels, as arrays; their folders; how batches are drawn from them
augmentation   varies a batch of pages, in training and at test time
model          the network: a timm backbone, with or without ImageNet weights, and a head that keeps places on the page
settings       how long and how fast a training goes
optimizer      which weights learn how fast, and by which rule
redraw         flat pages drawn straight from signals, others each time
train          the training loop, resumable to the bit
checkpoint     folders of weights and what made them
inference      from images to a table of probabilities
explain        where on the page a score came from
"""

from ecgutils.learn.augmentation import VIEWS, View, augment
from ecgutils.learn.checkpoint import SHIPPED, SIMULATED, load_model, save_model, seen_before, start_from, take_weights
from ecgutils.learn.dataset import FlatSet, build_sets, join_sets, load_sets
from ecgutils.learn.explain import heat_maps, heat_on_photo
from ecgutils.learn.inference import PREDICTION_COLUMNS, find_calibration, predict, predict_set, read_photos
from ecgutils.learn.model import ECGModel, build_model, to_ink
from ecgutils.learn.settings import FitSettings
from ecgutils.learn.train import History, fit
