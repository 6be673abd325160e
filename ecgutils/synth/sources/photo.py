"""Whatever lies under a phone camera: the photographs we know are mostly cart printouts on dotted or faint grids."""

from ecgutils.synth.sources.base import Source

SOURCE = Source(
    name="photo",
    layout={"3x4+1": 12, "3x4": 4, "3x4+2": 1, "3x4+3": 3, "6x2": 1, "6x2+1": 1, "12x1": 1},
    palette={"cart": 10, "brick": 3, "faint": 2, "red": 3, "crimson": 2, "pink": 2, "grey": 2}
    | {"green": 1, "orange": 1, "blue": 1},
    grid={"lines": 12, "stipple": 3, "coarse": 1, "millimetre": 0.5, "none": 0.5},
    separator={"dotted": 5, "none": 3, "ticks": 2, "cross": 1, "line": 1},
    font={"serif-bold": 3, "serif": 4, "sans": 2, "sans-bold": 2, "mono": 1, "mono-bold": 1, "roman": 1},
    paper={"strip": 5, "letter": 1, "a4": 2},
    trace_mm=0.28,
    plotted=0.3,
    noted=0.15,
)
