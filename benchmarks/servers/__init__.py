"""DHCP servers that are compared: refnet's, and dnsmasq by hand with the same files.

:mod:`.ground` is where they serve, :mod:`.bare` dnsmasq by hand, :mod:`.asking` a client that asks as often as it can,
and :mod:`.turns` what the process of :mod:`benchmarks.child` measures.
"""
