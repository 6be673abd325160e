"""Outlines that were found, beside those that are known."""

import pandas as pd
import pytest

from ecgutils.evaluate import outline_errors
from ecgutils.manifest import CORNER_COLUMNS

TRUE = (10, 10, 310, 10, 310, 210, 10, 210)


def frame(ids, corners, **more):
    return pd.DataFrame([corners] * len(ids), columns=list(CORNER_COLUMNS)).assign(image_id=ids, **more)


def test_an_outline_5_px_off_is_off_by_that_share_of_the_diagonal():
    truth = frame(["a", "b"], TRUE, rotation=[0, 90], width=400, height=300)  # diagonal 500 px
    moved = [value + (3, 4)[i % 2] for i, value in enumerate(TRUE)]
    errors = outline_errors(truth, frame(["b", "a"], moved, rotation=[270, 0], readable=True)).set_index("image_id")
    assert errors["corner_error"].tolist() == pytest.approx([1, 1])
    assert errors.loc["a", ["in_view", "level", "upright"]].tolist() == [True, True, True]
    assert errors.loc["b", ["in_view", "level", "upright"]].tolist() == [True, True, False]  # upside down


def test_images_that_are_unreadable_or_unknown_are_left_out_and_corners_out_of_view_told():
    truth = frame(["a", "b"], (-40, *TRUE[1:]), rotation=0, width=400, height=300)
    found = frame(["a", "b", "c"], TRUE, rotation=0, readable=[True, False, True])
    errors = outline_errors(truth, found)
    assert errors["image_id"].tolist() == ["a"]
    assert errors["in_view"].tolist() == [False]
    assert outline_errors(truth.head(0), found).empty
