"""What iptables-restore --noflush does with its input, as a few lines of Python: for the tests of planning."""

from __future__ import annotations

import re

_COUNTED = re.compile(r"(\[\d+:\d+\]) ")
_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


class Refused(Exception):
    """What the tool would have refused."""


class Host:
    """Tables of chains of lines; each line is ``-A chain …``, and has counters beside it."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[str]]] = {}
        self.counters: dict[tuple[str, str], list[str]] = {}
        self.written: list[str] = []

    def restore(self, text: str) -> None:
        """Carry out a text, or refuse it as the tool would."""
        table = ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:]
                self.tables.setdefault(table, {name: [] for name in _BUILT_IN})
            elif line.startswith(":"):
                self._set(table, line[1:].split()[0], [])
            elif line and line != "COMMIT":
                self._edit(table, line)
                self.written.append(line)

    def save(self) -> str:
        """Return what iptables-save -c would print."""
        text: list[str] = []
        for table, chains in self.tables.items():
            text.append(f"*{table}")
            text += [f":{name} {'ACCEPT' if name in _BUILT_IN else '-'} [0:0]" for name in chains]
            for name, lines in chains.items():
                counters = self.counters.get((table, name), ["[0:0]"] * len(lines))
                text += [f"{counter} {line}" for counter, line in zip(counters, lines, strict=True)]
            text.append("COMMIT")
        return "\n".join(text)

    def own(self, prefix: str) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, list[str]]]]:
        """Return an owner's chains, and what the built-in chains jump to, without what is empty."""
        chains = {
            table: found
            for table, one in self.tables.items()
            if (found := {name: lines for name, lines in one.items() if name.startswith(prefix)})
        }
        jumps: dict[str, dict[str, list[str]]] = {}
        for table, one in self.tables.items():
            for name in _BUILT_IN:
                targets = [line.split()[-1] for line in one[name] if line.split()[-1].startswith(prefix)]
                if targets:
                    jumps.setdefault(table, {})[name] = targets
        return chains, jumps

    def _set(self, table: str, chain: str, lines: list[str]) -> None:
        self.tables[table][chain] = lines
        self.counters[table, chain] = ["[0:0]"] * len(lines)

    def _edit(self, table: str, line: str) -> None:
        match = _COUNTED.match(line)
        counter = match[1] if match else "[0:0]"
        verb, chain, *rest = line[match.end() if match else 0 :].split(" ", 2)
        chains = self.tables[table]
        if chain not in chains:
            raise Refused(line)
        lines, counters = chains[chain], self.counters.setdefault((table, chain), ["[0:0]"] * len(chains[chain]))
        number = re.match(r"(\d+) ?", rest[0]) if rest else None
        if number:
            rest = [rest[0][number.end() :]]
        content = " ".join(["-A", chain, *rest])
        target = content.split()[-1] if rest and "-j " in content else ""
        if verb in ("-A", "-I") and "." in target and target not in chains:
            raise Refused(f"no chain {target}: {line}")
        if verb == "-A":
            lines.append(content)
            counters.append(counter)
        elif verb == "-I":
            at = int(number[1]) - 1 if number else 0
            if at > len(lines):
                raise Refused(line)
            lines.insert(at, content)
            counters.insert(at, counter)
        elif verb == "-D":
            if (int(number[1]) > len(lines)) if number else content not in lines:
                raise Refused(line)
            at = int(number[1]) - 1 if number else lines.index(content)
            del lines[at], counters[at]
        elif verb == "-F":
            self._set(table, chain, [])
        elif verb == "-X":
            if lines or any(line.endswith(f" -j {chain}") for one in chains.values() for line in one):
                raise Refused(f"{chain} is in use: {line}")
            del chains[chain]
        else:
            raise AssertionError(line)
