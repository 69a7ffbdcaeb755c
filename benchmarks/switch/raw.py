"""The floor of a caller that waits for each port: RFC 7047 on a socket, and nothing looked at before or after."""

from __future__ import annotations

import json
import socket
from typing import Any

from benchmarks import switch

_RECEIVE_BYTES = 1 << 16


class Caller:
    """One connection, which is told when the switch has done what stands in the database."""

    def __init__(self) -> None:
        """Connect, and learn the rows that there are."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(switch.DATABASE.removeprefix("unix:"))
        self._text = ""
        self._number = 0
        self._done = 0
        self._ports: dict[str, str] = {}
        wanted = {"Open_vSwitch": {"columns": ["cur_cfg"]}, "Port": {"columns": ["name"]}}
        tables = self._ask("monitor", ["Open_vSwitch", None, {**wanted, "Bridge": {"columns": ["name"]}}])
        (self._root,) = tables["Open_vSwitch"]
        (self._bridge,) = tables["Bridge"]

    def add(self, number: int) -> None:
        """Add a port, and wait for the switch."""
        name = switch.tap(number)
        ids = ["map", list(map(list, switch.ids(number).items()))]
        self._do(
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": name, "external_ids": ids}},
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": "p",
                "row": {"name": name, "interfaces": ["named-uuid", "i"]},
            },
            self._mutate("Bridge", self._bridge, ["ports", "insert", ["named-uuid", "p"]]),
        )

    def delete(self, number: int) -> None:
        """Delete a port, and wait for the switch."""
        port = ["uuid", self._ports.pop(switch.tap(number))]
        self._do(self._mutate("Bridge", self._bridge, ["ports", "delete", port]))

    def _do(self, *operations: dict[str, Any]) -> None:
        count = self._mutate("Open_vSwitch", self._root, ["next_cfg", "+=", 1])
        look = {"op": "select", "table": "Open_vSwitch", "where": count["where"], "columns": ["next_cfg"]}
        answers = self._ask("transact", ["Open_vSwitch", *operations, count, look])
        wanted = answers[-1]["rows"][0]["next_cfg"]
        while self._done < wanted:
            self._take_in(self._message())

    @staticmethod
    def _mutate(table: str, row: str, mutation: list[Any]) -> dict[str, Any]:
        return {"op": "mutate", "table": table, "where": [["_uuid", "==", ["uuid", row]]], "mutations": [mutation]}

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        self._number += 1
        self._socket.sendall(json.dumps({"method": method, "params": parameters, "id": self._number}).encode())
        while True:
            message = self._message()
            if message.get("id") == self._number and "result" in message:
                return message["result"]
            self._take_in(message)

    def _message(self) -> Any:
        while True:
            if self._text:
                try:
                    message, end = json.JSONDecoder().raw_decode(self._text)
                except ValueError:
                    pass
                else:
                    self._text = self._text[end:]
                    return message
            self._text += self._socket.recv(_RECEIVE_BYTES).decode()

    def _take_in(self, message: Any) -> None:
        if message.get("method") != "update":
            return
        for table, rows in message["params"][1].items():
            for uuid, change in rows.items():
                if table == "Open_vSwitch":
                    self._done = change["new"]["cur_cfg"]
                elif table == "Port" and "new" in change:
                    self._ports[change["new"]["name"]] = uuid
