"""Headless Chromium, driven through its debugging pipe (Chrome DevTools Protocol), and what a person sees of a page.

    with Browser(tmp_path) as browser:
        browser.open(page_file, width=390)
        browser.run("document.title")      # JavaScript's result
        browser.picture("figure img")      # (height, width, 3) what is seen of it
        browser.complaints                 # errors of the console, exceptions, failed requests
"""

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess

from matplotlib.image import imread

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--no-first-run", "--disable-extensions", "--use-gl=angle",
         "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--remote-debugging-pipe")  # fmt: skip

SEEN = """(() => {
  const box = element => element.getBoundingClientRect(), name = element => element.outerHTML.slice(0, 100);
  const all = selector => [...document.querySelectorAll(selector)].filter(element => element.checkVisibility());
  return {
    width: innerWidth,
    needed: document.documentElement.scrollWidth,
    broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).map(name),
    invisible: [...document.querySelectorAll("h1, h2, h3, p, table, figure, img, button")]
      .filter(element => !element.checkVisibility() || Math.min(box(element).width, box(element).height) < 5).map(name),
    beyond: all("h1, h2, h3, p, img, button, .wide").filter(element => box(element).right > innerWidth + 1).map(name),
  };
})()"""

class Browser:
    """In a profile of its own in `folder`; ends after `limit` seconds, whatever it is doing."""

    def __init__(self, folder, limit=300):
        self.folder, self.limit = folder, limit
        self.complaints, self._count = [], 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            theirs_in, ours_out = os.pipe()
            ours_in, theirs_out = os.pipe()
            command = [CHROMIUM, *FLAGS, f"--user-data-dir={self.folder / 'profile'}", "about:blank"]
            shell = f"exec 3<&{theirs_in} 4>&{theirs_out}; exec timeout {self.limit} \"$@\""
            self._process = subprocess.Popen(
                ["bash", "-c", shell, "bash", *command], pass_fds=(theirs_in, theirs_out),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"HOME": str(self.folder)},
            )  # fmt: skip
            os.close(theirs_in), os.close(theirs_out)
            stack.callback(self._process.wait)
            stack.callback(self._process.terminate)
            self._out = stack.enter_context(os.fdopen(ours_out, "wb", buffering=0))
            self._in = stack.enter_context(os.fdopen(ours_in, "rb"))
            self._session = None
            target = self._ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self._ask(f"{domain}.enable")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def open(self, file, width, height=900):
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)
        self._loaded = False
        self._ask("Page.navigate", url=file.as_uri())
        while not self._loaded:
            self._hear()

    def run(self, script):
        """What the script, or the promise that it is, comes to."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, selector):
        """(height, width, 3) pixels of an element, 0 to 1."""
        box = self.run(f"(({{x, y, width, height}}) => [x + scrollX, y + scrollY, width, height])"
                       f"(document.querySelector('{selector}').getBoundingClientRect())")  # fmt: skip
        clip = dict(zip(("x", "y", "width", "height"), box), scale=1)
        data = self._ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        return imread(io.BytesIO(base64.b64decode(data)))[..., :3]

    def _ask(self, method, **parameters):
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while (heard := self._hear()).get("id") != self._count:
            pass
        assert "error" not in heard, heard["error"]
        return heard["result"]

    def _hear(self):
        text = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, f"the browser ended, or took longer than {self.limit} s"
            text += byte
        heard = json.loads(text)
        method, parameters = heard.get("method"), heard.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.complaints.append([value.get("value") for value in parameters["args"]])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"])
        return heard
