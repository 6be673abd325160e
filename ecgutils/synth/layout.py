"""Where each lead goes on the paper, in millimetres."""

from dataclasses import dataclass

from ecgutils.findings import LEADS
from ecgutils.synth.style import LAYOUTS, PageStyle

PRINTED_S = 10.0  # a standard printout shows ten seconds
CALIBRATION_MM = 8.0  # room for the calibration pulse, whose top is at most 5 mm wide


@dataclass(frozen=True)
class Strip:
    """One piece of trace: seconds `start_s`..`stop_s` of lead `lead`, from x `left_mm`, zero at y `zero_mm`."""

    name: str
    lead: int
    start_s: float
    stop_s: float
    left_mm: float
    zero_mm: float


@dataclass(frozen=True)
class Plan:
    """All strips of a page, the rows' y of zero, x of the calibration pulses or None, and where the columns begin."""

    strips: tuple[Strip, ...]
    zeros_mm: tuple[float, ...]
    pulse_left_mm: float | None
    columns_mm: tuple[float, ...]
    row_pitch_mm: float


def plan_page(style: PageStyle, duration_s: float) -> Plan:
    """Lay `duration_s` seconds (at most ten, less where the paper is too narrow) out on the page of `style`."""
    columns, rhythm = LAYOUTS[style.layout]
    calibration_mm = 0.0 if style.calibration == "none" else CALIBRATION_MM
    room_mm = style.width_mm - 2 * style.side_mm - calibration_mm
    shown_s = min(duration_s, PRINTED_S, room_mm / style.speed)
    left = (style.width_mm - shown_s * style.speed - calibration_mm) / 2
    left += calibration_mm if style.calibration in ("left", "stepped") else 0.0
    top = style.top_mm + style.header_mm
    n_rows = len(columns[0]) + len(rhythm)
    body_mm = style.height_mm - style.top_mm - style.footer_mm - top
    pitch = min(body_mm / n_rows, style.pitch_mm)
    first = top + 0.4 * (body_mm - n_rows * pitch)  # spare paper: a little more of it below than above
    zeros = [first + (row + 0.55) * pitch for row in range(n_rows)]

    column_s = shown_s / len(columns)
    starts = [left + c * column_s * style.speed for c in range(len(columns))]
    strips = []
    for c, leads in enumerate(columns):
        start = c * column_s if style.sequential else 0.0
        for row, name in enumerate(leads):
            stop = start + max(0.5 * column_s, column_s - style.gap_mm / style.speed)
            strips.append(Strip(name, LEADS.index(name), start, stop, starts[c], zeros[row]))
    for row, name in enumerate(rhythm, start=len(columns[0])):
        strips.append(Strip(f"{name}_rhythm", LEADS.index(name), 0.0, shown_s, left, zeros[row]))
    before, after = left - style.pulse_mm - 2.5, left + shown_s * style.speed + 1.0
    pulse = {"left": before, "stepped": before, "right": after, "none": None}[style.calibration]
    return Plan(tuple(strips), tuple(zeros), pulse, tuple(starts), pitch)
