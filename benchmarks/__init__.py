"""refnet against the kernel's own cost and against what else hosts are plugged with: ``python -m benchmarks`` as root.

:mod:`~benchmarks.plug`, :mod:`~benchmarks.idle` and :mod:`~benchmarks.imports` each measure one thing and return a
:class:`~benchmarks.results.Section`; ``__main__`` runs them and :mod:`~benchmarks.results` writes them down. What
is measured runs in a process and a network namespace of its own (:mod:`~benchmarks.child`, seen from outside
:mod:`~benchmarks.runner`), never on the host's
devices.
"""
