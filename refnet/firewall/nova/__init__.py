"""Nova's textual tables over any backend, for code that was written for Nova's ``IptablesManager``.

    table = manager.ipv4["filter"]
    table.add_chain("inst-7")
    table.add_rule("inst-7", "-p tcp --dport 22 -j ACCEPT")
    table.add_rule("local", "-d 192.0.2.7 -j $inst-7")
    manager.apply()

The texts become :class:`~refnet.firewall.rules.Rule` objects of the manager's model, each of its table's family; the
chains of both families are the same chains. Compared with Nova 20.6.1, the last that had an ``IptablesManager``,
callers may notice:

* **Nothing shared is ever written.** Nova's unwrapped chains (``nova-filter-top``) belong to all of its programs at
  once, and whichever came last purged what it took for its own. Here they are chains of this owner, as the wrapped
  ones are, asked at the same place. So is what Nova wrote into the built-in chains: for the rules of ``FORWARD`` with
  ``wrap=False`` there is a chain ``at-FORWARD`` on the hook. A wrapped and an unwrapped chain of a table cannot have
  the same name. Rules cannot jump to chains of others, nor be added to them.
* **Chains' names are never cut.** What the model cannot have as a name (more than 64 characters, dots) gets a name
  with a hash.
* **A rule is what it means, not its text**: ``-s 192.0.2.1`` and ``-s 192.0.2.1/32`` are the same rule, which is there
  once and goes with the first removal. ``top`` says where it comes when it is added, and is not part of what it is.
* **What is wrong is refused at once**, by the call that adds it, and not by a later ``apply`` with all the rest: text
  that is no rule, or that the model or the backend cannot express (:class:`~refnet.errors.Unsupported`), and a jump to
  a chain that is not there yet, or that leads back, be it by a rule of the other family. The rules before it are in the
  model by then: what belongs together belongs into one ``deferred()``, which takes all of it back.
* **What is told to go goes.** A rule that was added with a ``$name`` is found again by that text, and ``empty_chain``
  takes unwrapped rules off the host, too. ``remove_chain`` removes the rules that jump to that chain, and not those
  that jump to one whose name begins like it.
* **Unwrapped rules stay in the order of the calls**; Nova's next ``apply`` put those that stood behind the new ones.
* ``rules``, ``chains`` and ``unwrapped_chains`` are copies: to change them changes nothing.

What Nova adds for every network, or every address, is left out with a warning in the log where a backend or host
cannot have it and the rest does without: rules of IPv6 on a host that has none; the filling in of checksums (nftables,
pf); and over pf the translation of what this host itself sends to a floating address, and of what one guest sends to
another's. ``-m addrtype --dst-type LOCAL`` is understood in rules about TCP in ``INPUT``, where all of it is for this
host.
"""

from refnet.firewall.nova.names import owner_name
from refnet.firewall.nova.table import Table, TextRule
from refnet.firewall.nova.tables import NovaTables

__all__ = ["NovaTables", "Table", "TextRule", "owner_name"]
