"""`kagglerun doctor`: what a machine can be wrong with, before an hour is lost.

`probes/` looks at the machine and gives a frozen `Probe`; `checks/` are functions from a `Probe` to findings, so that
any fault can be tested without having it. `bench/` measures.
"""
