"""The simulator: the pure machines of `model` on a virtual clock, in a modelled network, on modelled hosts.

Reading order: `scenario.py` (what a world is), `world.py` (how it is put together), `node.py` (one machine and its
clock), `network.py`, `system.py` (the hosts' operating systems), `faults.py`, `log.py`, `oracle.py` (the promises).
"""
