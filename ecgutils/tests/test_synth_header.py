"""A printed header tells what the trace shows."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ecgutils.hearts import simulate
from ecgutils.synth import PageStyle, render_page, render_scan
from ecgutils.synth.lettering import cart_numbers
from ecgutils.tests.test_synth_page import make_record


def numbers(lines):
    """Every number in lines of text, by the line's first word."""
    return {line.split()[0]: [int(n) for n in re.findall(r"\d+", line)] for line in lines}


@pytest.mark.parametrize("findings", [set(), {"AF"}, {"CD"}])
def test_the_printed_rate_is_the_record_s(findings):
    for seed in range(5):
        record = simulate(np.random.default_rng(seed), findings)
        style = render_scan(record, np.random.default_rng(seed), "archive", (400, 300)).style
        printed = numbers(style["header"])
        assert printed["Vent."] == [pytest.approx(record.details["rate_bpm"], abs=0.5)]
        assert printed["PR"][-1] == record.details["qrs_ms"]
        assert printed["QT"][0] == record.details["qt_ms"]
        assert ("*" in " ".join(style["header"])) == (record.details["pr_ms"] is None)


@pytest.mark.parametrize("findings", [set(), {"AF"}])
def test_what_details_do_not_tell_is_measured(findings):
    off = []
    for seed in range(20):
        record = simulate(np.random.default_rng(seed), findings)
        (rate,) = numbers(cart_numbers(replace(record, details={})))["Vent."]
        off.append(abs(rate - record.details["rate_bpm"]))
    assert np.median(off) <= 2
    assert max(off) <= 6


@pytest.mark.parametrize("signal", [np.zeros((12, 5000)), np.full((12, 5000), np.nan), np.zeros((12, 20))])
def test_what_cannot_be_measured_is_not_printed(signal):
    page = render_page(make_record(signal), np.random.default_rng(0), PageStyle(header_mm=25))
    assert not {"Vent.", "PR", "QT"} & {line.split()[0] for line in page.style["header"]}
    assert "Unconfirmed" in page.style["header"]


def test_a_page_without_a_header_has_no_lines():
    assert render_page(make_record(), np.random.default_rng(0), PageStyle()).style["header"] == []


def test_only_the_header_s_pixels_follow_the_numbers():
    slow, fast = (
        render_page(make_record(details={"rate_bpm": rate}), np.random.default_rng(0), PageStyle(header_mm=25, notes=3))
        for rate in (61, 148)
    )
    rows = np.flatnonzero((slow.image != fast.image).any((1, 2)))
    assert len(rows) > 0
    assert rows.max() < 29 * 4
    assert np.array_equal(slow.trace_mask, fast.trace_mask)
