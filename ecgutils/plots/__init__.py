"""Figures for notebooks, reports and the command line. Functions return a Figure; only `show` writes a file."""

from ecgutils.plots.evaluation import (
    plot_abstention,
    plot_heat,
    plot_lead_heat,
    plot_reliability,
    plot_robustness,
)
from ecgutils.plots.images import plot_contact_sheet, plot_outlines, plot_reading, plot_steps
from ecgutils.plots.results import (
    plot_arms,
    plot_auroc,
    plot_class_balance,
    plot_difference,
    plot_gain,
    plot_history,
    read_benchmark,
)
from ecgutils.plots.show import show
from ecgutils.plots.signals import plot_record

__all__ = [
    "plot_abstention",
    "plot_arms",
    "plot_auroc",
    "plot_class_balance",
    "plot_contact_sheet",
    "plot_difference",
    "plot_gain",
    "plot_heat",
    "plot_history",
    "plot_lead_heat",
    "plot_outlines",
    "plot_reading",
    "plot_record",
    "plot_reliability",
    "plot_robustness",
    "plot_steps",
    "read_benchmark",
    "show",
]
