"""Figures (figures.py) and widgets (widgets.py) for notebooks, reports and the command line."""

from ecgutils.plots.figures import (
    plot_abstention,
    plot_auroc,
    plot_class_balance,
    plot_contact_sheet,
    plot_heat,
    plot_history,
    plot_intervals,
    plot_lead_heat,
    plot_leads,
    plot_outlines,
    plot_reading,
    plot_record,
    plot_reliability,
    plot_robustness,
    plot_steps,
    read_benchmark,
    show,
)
