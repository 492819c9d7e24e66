"""A headless Chromium through chromedriver's WebDriver, with only Python's standard library."""

import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--force-device-scale-factor=1", "--hide-scrollbars",
]

# Ignores proxies of the environment: the driver is on this machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def program(*names):
    for name in names:
        if path := shutil.which(name):
            return path
    sys.exit(
        f"{names[0]} is missing: install the packages chromium and chromium-driver, or Google Chrome "
        "and its chromedriver"
    )


class Browser:
    """A separate window, with a profile that is removed when the window is closed."""

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="tcprst-html-")
        self.driver = subprocess.Popen(
            [program("chromedriver"), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self.driver.stdout:
            if found := re.search(r"success.* on port (\d+)", line):
                self.base = f"http://127.0.0.1:{found[1]}"
                break
        else:
            sys.exit("chromedriver did not start")
        options = {
            "binary": program("chromium", "google-chrome", "google-chrome-stable", "chromium-browser"),
            "args": [*FLAGS, f"--user-data-dir={self.profile.name}"],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        try:
            session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.driver.kill()
            raise
        self.base += f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()

    def call(self, method, path, body=None):
        body = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, body, headers, method=method)
        try:
            with DIRECT.open(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, page, fragment=""):
        self.call("POST", "/url", {"url": pathlib.Path(page).resolve().as_uri() + fragment})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width, height=900, scheme="light"):
        """Sets the size of the viewport and the preferred colour scheme."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def click(self, selector):
        """A real click of the pointer: an element that covers the target is an error."""
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{next(iter(found.values()))}/click", {})

    def key(self, key):
        # Enter presses a button only if the event has a text.
        text = {"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {}
        self.devtools("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.devtools("Input.dispatchKeyEvent", type="keyUp", key=key)

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def screenshot(self, path, height=None):
        """Takes a screenshot of the whole page, or of its first `height` pixels."""
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def pdf(self):
        return base64.b64decode(self.devtools("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])
