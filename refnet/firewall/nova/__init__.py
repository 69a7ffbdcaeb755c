"""Nova's textual tables over any backend, for code that was written for Nova's ``IptablesManager``.

    table = manager.ipv4["filter"]
    table.add_chain("inst-7")
    table.add_rule("inst-7", "-p tcp --dport 22 -j ACCEPT")
    table.add_rule("local", "-d 192.0.2.7 -j $inst-7")
    manager.apply()

The texts become :class:`~refnet.firewall.rules.Rule` objects of the manager's model, each of its table's family; the
chains of both families are the same chains. Where that differs from Nova:

* **Nothing shared is ever written.** Nova's unwrapped chains (``nova-filter-top``) belong to all of its programs at
  once, and whichever came last purged what it took for its own. Here they are chains of this owner, as the wrapped
  ones are, asked at the same place. So is what Nova wrote into the built-in chains: for the rules of ``FORWARD`` with
  ``wrap=False`` there is a chain ``at-FORWARD`` on the hook. A wrapped and an unwrapped chain of a table cannot have
  the same name.
* **Chains' names are never cut.** What the model cannot have as a name (more than 64 characters, dots) gets a name
  with a hash.
* **A rule is what it means, not its text**: ``-s 192.0.2.1`` and ``-s 192.0.2.1/32`` are the same rule. What the text
  says is checked when it is added.
* ``remove_chain`` removes the rules that jump to that chain, not those that jump to one whose name begins like it.
"""

from refnet.firewall.nova.names import owner_name
from refnet.firewall.nova.table import Table, TextRule
from refnet.firewall.nova.tables import NovaTables

__all__ = ["NovaTables", "Table", "TextRule", "owner_name"]
