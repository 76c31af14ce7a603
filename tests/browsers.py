"""Pages as a person has them: opened in headless Chromium, at a width, light or dark, with keys and a mouse.

    with page(path, width=400, dark=True) as tab:
        tab.press("ArrowRight")
        assert tab.evaluate("document.title") == "..." and not tab.console and not tab.requests

Skips the test where no browser is installed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devtools import Browser, browser

#: key -> (code, Windows key code, text it types)
KEYS = {
    "ArrowLeft": ("ArrowLeft", 37, ""), "ArrowUp": ("ArrowUp", 38, ""), "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""), "PageUp": ("PageUp", 33, ""), "PageDown": ("PageDown", 34, ""),
    "End": ("End", 35, ""), "Home": ("Home", 36, ""), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "),
}  # fmt: skip
MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}
LOCAL = ("data:", "blob:", "about:")


class Tab:
    """A page that is open.

    Attributes:
        console: what it said there, errors and uncaught exceptions too: "error: ...", "warning: ...", "log: ...".
        requests: the addresses it asked for; itself and what it carries (data:) are left out, so that a self-contained
            page has none.
    """

    def __init__(self, browser: Browser, session: str, address: str, scripts: bool = True) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self._browser, self._session, self._address, self._scripts = browser, session, address, scripts
        self._loaded = 0
        browser.listen(session, self._hear)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol to this page."""
        return self._browser.call(method, self._session, **parameters)

    def open(self) -> None:
        """Load the page, again if it was, and wait until all it carries is there."""
        before = self._loaded
        self.call("Page.navigate", url=self._address)
        self._browser.wait(lambda: self._loaded > before, f"{self._address} to load")

    def evaluate(self, script: str) -> Any:
        """The value of an expression; of a promise, what it comes to.

        Raises:
            RuntimeError: the script threw, says what.
        """
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            raise RuntimeError(f"{script}: {thrown.get('exception', {}).get('description', thrown['text'])}")
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until what was asked for is painted: two frames. Without scripts there are no frames to wait for."""
        if self._scripts:
            self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def press(self, key: str, times: int = 1) -> None:
        """Press a key: of KEYS or one character, behind modifiers as in "Shift+Tab"."""
        *held, name = key.split("+") if len(key) > 1 else [key]
        code, number, text = KEYS.get(name, (f"Key{name.upper()}", ord(name[0].upper()), name))
        event = {
            "key": name,
            "code": code,
            "windowsVirtualKeyCode": number,
            "modifiers": sum(MODIFIERS[m] for m in held),
        }
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **event)
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)
        self.settle()

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Click an element, at these shares of its width and height."""
        left, top, width, height = self.box(selector)
        place = {"x": left + across * width, "y": top + down * height, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **place)
        self.settle()

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """(left, top, width, height) of an element in the window, after it was scrolled into sight."""
        script = f"""(() => {{ const it = document.querySelector({json.dumps(selector)});
            it.scrollIntoView({{block: "center", behavior: "instant"}}); const box = it.getBoundingClientRect();
            return [box.left, box.top, box.width, box.height]; }})()"""
        left, top, width, height = self.evaluate(script)
        return left, top, width, height

    def screenshot(self, path: Path | None = None, whole: bool = False) -> bytes:
        """The window, or the whole page, as PNG; written to ``path`` too if there is one."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        data = base64.b64decode(answer["data"])
        if path:
            path.write_bytes(data)
        return data

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window: what must be scrolled sideways to be read."""
        return int(self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def broken_images(self) -> list[str]:
        """The alt text of every picture that is not there."""
        script = "[...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.alt)"
        return [str(alt) for alt in self.evaluate(script)]

    def dress(self, width: int, height: int, dark: bool, media: str = "") -> None:
        """Set the window's size, the colours the person likes, and ``media="print"`` for paper."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        liked = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=liked)

    def _clip(self, whole: bool) -> dict[str, Any]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"] if whole else {}
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}} if whole else {}

    def _hear(self, event: str, told: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded += 1
        elif event == "Runtime.consoleAPICalled":
            words = " ".join(str(a.get("value", a.get("description", ""))) for a in told["args"])
            self.console.append(f"{told['type']}: {words}")
        elif event == "Runtime.exceptionThrown":
            thrown = told["exceptionDetails"]
            self.console.append(f"error: {thrown.get('exception', {}).get('description', thrown['text'])}")
        elif event == "Log.entryAdded":
            self.console.append(f"{told['entry']['level']}: {told['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            address = told["request"]["url"]
            if address.split("#")[0] != self._address and not address.startswith(LOCAL):
                self.requests.append(address)


@contextmanager
def page(path: Path, width: int = 1280, height: int = 800, dark: bool = False, scripts: bool = True) -> Iterator[Tab]:
    """A file opened in a window of its own, loaded; its profile, storage and cache are nobody else's."""
    chromium = browser()
    context = chromium.call("Target.createBrowserContext")["browserContextId"]
    target = chromium.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
    session = chromium.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    tab = Tab(chromium, session, path.resolve().as_uri(), scripts)
    for domain in ("Page", "Runtime", "Log", "Network"):
        tab.call(f"{domain}.enable")
    tab.dress(width, height, dark)
    tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
    try:
        tab.open()
        yield tab
    finally:
        chromium.call("Target.disposeBrowserContext", browserContextId=context)
