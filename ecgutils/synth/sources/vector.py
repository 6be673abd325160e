"""Export of a viewing program: crisp, saturated grid, everything machine-set; nothing happened to it."""

from ecgutils.synth.sources.base import Source

SOURCE = Source(
    name="vector",
    layout={"3x4+1": 10, "3x4": 4, "3x4+2": 1, "3x4+3": 3, "6x2": 1, "12x1": 1},
    palette={"red": 4, "pink": 3, "blue": 2, "grey": 1, "green": 1, "orange": 1},
    grid={"lines": 8, "stipple": 2, "coarse": 2, "millimetre": 0.5},
    separator={"none": 4, "ticks": 3, "cross": 1, "line": 1},
    font={"sans": 4, "serif": 4, "sans-bold": 2, "roman": 1},
    paper={"letter": 2, "a4": 2, "strip": 5},
    trace_mm=0.26,
    plotted=0.35,
    on_glass=False,
)
