"""What is on a flat page: a small network sees it, and rules about layouts, pulses and legends make sense of that.

nets.py      its networks, in PyTorch
network.py   traces, lead names, pulses, legends, which way is up, for each pixel: Reading
layouts.py   printed names, fitted to the layouts that exist
leads.py     rows, layout, a box around each lead: Leads
units.py     paper speed and gain: Units
"""
