import math

import numpy as np
import pytest

from ecgutils.learn import FitSettings, baseline_settings, stage1_settings, stage2_settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": 0}, {"views": 1.5}, {"batch_size": -1}, {"lr": 0}, {"lr": math.nan}, {"weight_decay": -1},
        {"warmup": 1}, {"layer_decay": 0}, {"layer_decay": 1.1}, {"ema_decay": 1}, {"label_smoothing": -0.1},
        {"geometry": -1}, {"appearance": math.inf}, {"seed": -1}, {"checkpoint_every": 0}, {"eval_every": 0},
        {"max_steps": 0}, {"threads": 0}, {"clip_norm": 0}, {"stage": ""},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"FitSettings.{next(iter(wrong))} must be"):
        FitSettings(**wrong)


def test_steps_cover_the_views_unless_stopped_early():
    assert FitSettings(views=100, batch_size=16).steps == 7
    assert FitSettings(views=100, batch_size=16, max_steps=2).steps == 2


def test_the_rate_rises_then_falls_to_its_end():
    settings = FitSettings(views=1600, batch_size=16, warmup=0.1, final_lr=0.05)
    factors = [settings.lr_factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert np.all(np.diff(factors[10:]) <= 0)
    assert factors[-1] == pytest.approx(0.05)


@pytest.mark.parametrize("settings", [FitSettings(views=1), FitSettings(views=16, warmup=0.9), FitSettings(warmup=0)])
def test_the_rate_is_a_share_in_any_plan(settings):
    assert all(0 < settings.lr_factor(step) <= 1 for step in range(settings.steps))


def test_the_baseline_takes_as_many_steps_as_both_stages():
    stage1, stage2 = stage1_settings(views=1000, seed=4), stage2_settings(views=330, seed=4)
    baseline = baseline_settings(stage1, stage2)
    assert baseline.steps == stage1.steps + stage2.steps
    assert (baseline.seed, baseline.stage) == (4, "baseline")
    with pytest.raises(ValueError, match="one batch size"):
        baseline_settings(stage1, stage2_settings(batch_size=8))
