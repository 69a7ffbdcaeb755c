"""refnet against the kernel's own cost and against what else hosts are plugged with: ``python -m benchmarks`` as root.

:mod:`~benchmarks.plug`, :mod:`~benchmarks.idle`, :mod:`~benchmarks.imports`, :mod:`~benchmarks.firewall`,
:mod:`~benchmarks.dhcp` and :mod:`~benchmarks.suite` each measure one part and return its
:class:`~benchmarks.results.Section` objects; ``__main__`` runs them and :mod:`~benchmarks.results` writes them down.
What is measured runs in a process and a network namespace of its own (:mod:`~benchmarks.child`, seen from outside
:mod:`~benchmarks.runner`), never on the host's devices.
"""
