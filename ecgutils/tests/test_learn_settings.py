import math
from dataclasses import replace

import numpy as np
import pytest

from ecgutils.profiles import arm_settings, load_profile

STAGE1 = arm_settings(load_profile("demo"))["stage1"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": 0}, {"views": 1.5}, {"batch_size": -1}, {"lr": 0}, {"lr": math.nan}, {"weight_decay": -1},
        {"warmup": 1}, {"layer_decay": 0}, {"layer_decay": 1.1}, {"ema_decay": 1}, {"stage": ""},
        {"geometry": -1}, {"appearance": math.inf}, {"seed": -1}, {"checkpoint_every": 0}, {"eval_every": 0},
        {"max_steps": 0}, {"threads": 0}, {"clip_norm": 0}, {"optimizer": "mun"},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"FitSettings.{next(iter(wrong))} must be"):
        replace(STAGE1, **wrong)


def test_steps_cover_the_views_unless_stopped_early():
    assert replace(STAGE1, views=100, batch_size=16).steps == 7
    assert replace(STAGE1, views=100, batch_size=16, max_steps=2).steps == 2


def test_the_rate_rises_then_falls_to_its_end():
    settings = replace(STAGE1, views=1600, batch_size=16, warmup=0.1, final_lr=0.05)
    factors = [settings.lr_factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert np.all(np.diff(factors[10:]) <= 0)
    assert factors[-1] == pytest.approx(0.05)


@pytest.mark.parametrize("plan", [{"views": 1}, {"views": 16, "warmup": 0.9}, {"warmup": 0}])
def test_the_rate_is_a_share_in_any_plan(plan):
    settings = replace(STAGE1, **plan)
    assert all(0 < settings.lr_factor(step) <= 1 for step in range(settings.steps))


def test_the_baseline_takes_as_many_steps_as_both_stages():
    arms = arm_settings(load_profile("demo", seed=4, stage1_views=1000, stage2_views=330))
    assert arms["single_source"].steps == arms["stage1"].steps + arms["two_stage"].steps
    assert (arms["single_source"].seed, arms["single_source"].stage) == (4, "baseline")
    short = arm_settings(load_profile("demo", max_steps=3))
    assert [short[arm].steps for arm in ("stage1", "two_stage", "single_source")] == [3, 3, 6]
