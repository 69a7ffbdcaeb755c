"""Chromium without a window, spoken to over a pipe: no port, no driver, one start for many pages.

The protocol is the browser's own (https://chromedevtools.github.io/devtools-protocol/): JSON, each message ended by a
zero byte, on the file descriptors 3 and 4 that ``--remote-debugging-pipe`` names.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

#: Seconds for anything the browser is asked for; a slow machine is no reason to fail.
LIMIT = 120.0
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


class Browser:
    """A running Chromium with a profile of its own; leaving the context ends it and removes the profile."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            FileNotFoundError: it is not installed.
        """
        names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        program = next(filter(None, map(shutil.which, names)), None)
        if program is None:
            raise FileNotFoundError("chromium is not installed: 'apt-get install chromium' brings it")
        self._profile = tempfile.mkdtemp(prefix="refnet-chromium-")
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        self._log = Path(self._profile, "stderr")
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT, 0o600)
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-', "bash"),
                *(program, *_SWITCHES, f"--user-data-dir={self._profile}", "about:blank"),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # Its home is the profile: it leaves traces in ~/.config and ~/.cache else.
            env={**os.environ, **dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), self._profile)},
        )
        for end in (theirs_in, theirs_out, log):
            os.close(end)
        self._number = 0
        self._heard = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        os.close(self._out)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        # Its session and no other; helpers of a browser that has gone down badly are in it too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Ask for something and return the answer; what is told meanwhile is kept in ``events``."""
        return self.answer(self.ask(method, session, **parameters))

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Ask for something without waiting for the answer, and return its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        return self._number

    def answer(self, number: int) -> dict[str, Any]:
        """Return the answer to what was asked."""
        while number not in self._answers:
            told = self._next()
            if "id" in told:
                self._answers[told["id"]] = told
            else:
                self.events.append(told)
        answer = self._answers.pop(number)
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """Return the first event by a name that has been told, or is going to be."""
        while True:
            for event in self.events:
                if event["method"] == method and event.get("sessionId") == session:
                    self.events.remove(event)
                    return event
            told = self._next()
            assert "id" not in told, f"an answer that nobody waits for: {told}"
            self.events.append(told)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_READ)
            while b"\0" not in self._heard:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                data = os.read(self._in, 1 << 20) if ready else b""
                if not data:
                    words = self._log.read_text(errors="replace")[-2000:]
                    raise AssertionError(f"chromium {'has ended' if ready else 'is silent'}: {words}")
                self._heard += data
        message, _, self._heard = self._heard.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed


class Tab:
    """One page in a browser, and all that it complained of."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session: str = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        # Focus as in a window that a person looks at, whatever else runs.
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def open(self, path: Path) -> None:
        """Go to a file and wait until it is there as a whole."""
        self.browser.events = [event for event in self.browser.events if event.get("sessionId") != self.session]
        self.call("Page.navigate", url=path.as_uri())
        self.browser.wait_for("Page.loadEventFired", self.session)

    def looks(self, width: int, height: int, *, dark: bool = False, medium: str = "", touch: bool = False) -> None:
        """Set the window's size in CSS pixels, light or dark, and paper ("print") or screen."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression, awaited if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "", *, shift: bool = False, times: int = 1) -> None:
        """Press and release a key, as a person would: the page cannot tell the difference."""
        known = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        down = {"type": "keyDown" if text else "rawKeyDown", "text": text}
        asked = [
            self.browser.ask("Input.dispatchKeyEvent", self.session, **known, **kind)
            for _ in range(times)
            for kind in (down, {"type": "keyUp"})
        ]
        for number in asked:
            self.browser.answer(number)

    def screenshot(self, x: float, y: float, width: float, height: float) -> bytes:
        """Return a part of the page, in CSS pixels from its upper left, as a PNG file."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def complaints(self) -> list[str]:
        """Return errors and warnings that the page has caused, and all requests but that for itself."""
        self.evaluate("0")  # whatever was told before the answer has been heard
        told = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            about = event["params"]
            if event["method"] == "Log.entryAdded":
                told.append(about["entry"]["text"])
            elif event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                told.append(json.dumps(about))
            elif event["method"] == "Network.requestWillBeSent" and about["type"] != "Document":
                told.append(f"request for {about['request']['url']}")
        return told


def _pipe() -> tuple[int, int]:
    """Make a pipe with ends above 9, so that none is in the way when bash makes them 3 and 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
