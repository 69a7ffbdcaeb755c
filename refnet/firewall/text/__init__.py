"""Rules as iptables writes them: :func:`parse` reads such text, :func:`write` makes it.

    parse("-s 192.0.2.0/24 -p tcp -m tcp --dport 80:90 -j ACCEPT", 4)
    write(rule, 4).lines

Both are pure: no program is started, and no file of this host is read for names.
"""

from refnet.firewall.text.parse import parse
from refnet.firewall.text.write import Written, write

__all__ = ["Written", "parse", "write"]
