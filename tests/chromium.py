"""Chromium without a window, driven by its DevTools protocol through a pair of pipes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path

PATIENCE = 60  # seconds, of which a crowded machine may need many
_COMMAND = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-proxy-server", "--disable-sync", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*", "--force-color-profile=srgb"),
    "--remote-debugging-pipe",
]


def missing() -> str:
    """Return why there is no Chromium here, or an empty word."""
    return "" if shutil.which("chromium") else "no chromium here"


class Chromium:
    """One browser with one page. Used by ``with``, in one thread."""

    def __init__(self, folder: Path) -> None:
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # Its ends of the pipes must be 3 and 4.
        command = f'exec chromium "$@" 3<&{theirs_in} 4>&{theirs_out}'
        profile = f"--user-data-dir={folder / 'profile'}"
        self._process = subprocess.Popen(
            ["bash", "-c", command, "", *_COMMAND, profile, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = os.fdopen(ours_out, "wb", 0), os.fdopen(ours_in, "rb")
        self._numbers = itertools.count(1)
        self._heard: queue.Queue[dict] = queue.Queue()
        self._events: list[dict] = []
        self._session = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Chromium:
        try:
            targets = self.ask("Target.getTargets")["targetInfos"]
            page = next(one["targetId"] for one in targets if one["type"] == "page")
            attached = self.ask("Target.attachToTarget", targetId=page, flatten=True)
            folder = str(self.downloads)
            self.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder,
                     eventsEnabled=True)  # fmt: skip
            self._session = attached["sessionId"]
            for domain in ("Page", "DOM", "Network", "Log"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._out.close()
        self._reader.join(PATIENCE)
        self._in.close()

    def ask(self, method: str, **parameters: object) -> dict:
        """Have something done, and return what is answered."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Browser.", "Target.")):
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while (heard := self._heard.get(timeout=PATIENCE)).get("id") != number:
            self._events.append(heard)
        assert "error" not in heard, (method, heard)
        return heard["result"]

    def wait(self, method: str, **expected: object) -> dict:
        """Return the first event of that kind that has not been waited for."""
        while True:
            for at, event in enumerate(self._events):
                values = event.get("params", {})
                if event.get("method") == method and expected.items() <= values.items():
                    del self._events[at]
                    return values
            self._events.append(self._heard.get(timeout=PATIENCE))

    def events(self, method: str) -> list[dict]:
        """List the events of a kind so far."""
        return [event["params"] for event in self._events if event.get("method") == method]

    # What a person does.

    def open(self, url: str) -> None:
        self._events = [one for one in self._events if one.get("method") != "Page.loadEventFired"]
        self.ask("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def texts(self, selector: str) -> list[str]:
        """List the text of each element, as the page has it."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        found = self.ask("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]
        html = (self.ask("DOM.getOuterHTML", nodeId=node)["outerHTML"] for node in found)
        return [text_of(one) for one in html]

    def click(self, selector: str) -> None:
        node = self._node(selector)
        self.ask("DOM.scrollIntoViewIfNeeded", nodeId=node)
        quad = self.ask("DOM.getContentQuads", nodeId=node)["quads"][0]
        x, y = (quad[0] + quad[4]) / 2, (quad[1] + quad[5]) / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into what has the focus, and press Enter."""
        self.ask("Input.insertText", text=text)
        self.press("Enter", "\r")

    def press(self, key: str, text: str = "") -> None:
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text,
                     windowsVirtualKeyCode=code)  # fmt: skip

    def looks(self, width: int, height: int, scheme: str = "light", *, phone: bool = False) -> None:
        """Be a window of that size, in a scheme of colours."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=phone)  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self) -> bytes:
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def _node(self, selector: str) -> int:
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, selector
        return node

    def _read(self) -> None:
        rest = b""
        while chunk := self._in.read1(2**20):
            *whole, rest = (rest + chunk).split(b"\0")
            for message in whole:
                self._heard.put(json.loads(message))


def text_of(html: str) -> str:
    """Return the text of a piece of HTML."""
    from html.parser import HTMLParser

    found: list[str] = []
    parser = HTMLParser()
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(html)
    parser.close()
    return "".join(found)
