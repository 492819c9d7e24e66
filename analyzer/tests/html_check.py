"""Checks a page of `tcprst-analyze report --html` in headless Chromium.

    html_check.py PAGE EXPECTED    checks it against numbers from SQL; prints the differences
    html_check.py PAGE --shots DIR writes desktop.png, narrow.png and dark.png

EXPECTED is JSON: `views` (filters, and the number of resets that pass them), `shown` (texts that
must be readable), and `elements` (the number of elements by kind, such as `script`).
"""

import json
import pathlib
import sys

from html_browser import Browser

# The numbers that the page shows under the current filters, by part of the page.
READ = """
const number = (text) => Number((text.match(/[0-9,]+/) || ["0"])[0].replaceAll(",", ""));
const sum = (selector, pick) => [...document.querySelectorAll(selector)].reduce((n, node) => n + number((pick ? node.querySelector(pick) : node).textContent), 0);
for (const more of document.querySelectorAll('.more[aria-expanded="false"]')) more.click();
const rest = document.querySelector("#peers-table .rest-row");
const flame = document.querySelector("#flame-chart g:not(.above)");
const left = /([0-9,]+) reset/.exec(document.querySelector("#flame-hint").textContent);
return {
  figure: number(document.querySelector("#figures dd").textContent),
  headline: number(document.querySelector("#headline").textContent),
  causes: sum("#causes-table tbody tr", ".num"),
  containers: sum("#containers-table tbody tr", ".num"),
  ports: sum("#ports-table tbody tr", ".num"),
  hosts: sum("#hosts-table tbody tr", ".num"),
  peers: sum("#peers-table tbody tr", ".num") + (rest ? number(rest.textContent) : 0),
  legend: sum("#timeline-legend .n"),
  stacks: (flame ? number(flame.getAttribute("aria-label").split(": ")[1]) : 0) + (left ? number(left[1]) : 0),
};
"""

# Texts with a contrast to their background below WCAG's AA.
CONTRAST = """
const parse = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
const light = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (node) => { for (let at = node; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c.slice(0, 3); } return [255, 255, 255]; };
const bad = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const node = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || node.closest("script,style,noscript,option,.sr,.skip") || !node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const frame = node.closest(".flame g");
  const front = parse(node.closest("svg") ? style.fill : style.color).slice(0, 3);
  if (frame && frame.classList.contains("above")) continue;
  const back = frame ? parse(getComputedStyle(frame.querySelector("rect")).fill).slice(0, 3) : behind(node);
  const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(`${walk.currentNode.data.slice(0, 30)} ${front} on ${back}`);
}
return [...new Set(bad)].slice(0, 5);
"""

# Finds cells by their text, as people do.
PICK = """
const [dimension, text] = arguments;
for (const more of document.querySelectorAll('.more[aria-expanded="false"]')) more.click();
const rows = [...document.querySelectorAll(`tr[data-dimension="${dimension}"]`)];
const row = rows.find((row) => row.querySelector(".pick").textContent === text);
if (!row) return false;
row.querySelector(".pick").click();
return true;
"""

SELECT = """
const [dimension, text] = arguments;
const select = document.getElementById(`select-${dimension}`);
const option = [...select.options].find((option) => option.textContent.replace(/ \\([0-9,]+\\)$/, "") === text);
if (!option) return false;
select.value = option.value;
select.dispatchEvent(new Event("change", { bubbles: true }));
return true;
"""


class Check:
    def __init__(self, browser, page, expected):
        self.browser, self.page, self.expected = browser, page, expected
        self.wrong = []

    def that(self, holds, said):
        if not holds:
            self.wrong.append(said)

    def equal(self, got, wanted, said):
        self.that(got == wanted, f"{said}: {got!r}, not {wanted!r}")

    def count(self, selector):
        return self.browser.run("return document.querySelectorAll(arguments[0]).length", selector)

    def everything(self):
        self.browser.look(1280)
        self.browser.open("/dev/null")
        # Requests of the browser's start page do not belong to the report.
        self.browser.log("performance")
        self.browser.open(self.page)
        self.drawn()
        self.views()
        self.pointer_and_keys()
        self.hostile()
        self.looks()
        self.prints()
        self.quiet()

    def drawn(self):
        total = self.expected["views"][0]["n"]
        if total:
            for selector in ("#timeline .bar", "#flame-chart rect", "#coverage .recorded", "#causes-table tbody tr"):
                self.that(self.count(selector) > 0, f"{selector}: nothing drawn")
        self.equal(self.browser.run("return document.body.dataset.resets"), str(total), "resets of the page")
        for text in self.expected.get("headline", []):
            self.that(text in self.browser.run("return document.getElementById('headline').textContent"), f"headline lacks {text!r}")

    def views(self):
        """Each set of filters, by clicks on rows and by the selects, gives SQL's numbers everywhere."""
        for view in self.expected["views"]:
            for way, script in (("click", PICK), ("select", SELECT)):
                said = f"{view['filters']} by {way}"
                for dimension, text in view["filters"]:
                    self.that(self.browser.run(script, dimension, text), f"{said}: {text!r} is not there")
                self.equal(self.count("#active .chip[data-dimension]"), len(view["filters"]), f"{said}: chips")
                read = self.browser.run(READ)
                if self.browser.run("return document.getElementById('hosts').hidden"):
                    del read["hosts"]
                for part, n in read.items():
                    self.equal(n, view["n"], f"{said}: {part}")
                # The address of a view opens the view again.
                fragment = self.browser.run("return location.hash")
                self.browser.open(self.page, fragment)
                self.browser.call("POST", "/refresh", {})
                self.equal(self.browser.run("return document.body.dataset.resets"), str(view["n"]), f"{said}: after reload")
                while self.count("#active .chip[data-dimension]"):
                    self.browser.click("#active .chip[data-dimension]")
                self.equal(self.browser.run(READ)["figure"], self.expected["views"][0]["n"], f"{said}: after removal")

    def pointer_and_keys(self):
        if not self.expected["views"][0]["n"]:
            return
        tip = "return document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
        self.browser.run("document.querySelector('svg.timeline').focus()")
        self.browser.key("End")
        self.that("UTC" in self.browser.run(tip), "the timeline shows no values by keyboard")
        self.browser.key("Escape")
        self.equal(self.browser.run(tip), "", "Escape hides the values")
        box = self.browser.run("const b = document.querySelector('svg.timeline').getBoundingClientRect(); scrollTo(0, b.top + scrollY - 100); return [b.left + b.width / 2, 150]")
        self.browser.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        self.that("UTC" in self.browser.run(tip), "the timeline shows no values under the pointer")

        # A filter set by keyboard keeps the focus.
        self.browser.run("document.querySelector('#causes-table .pick').focus()")
        self.browser.key("Enter")
        self.equal(self.count("#active .chip[data-dimension]"), 1, "chips after Enter on a cause")
        self.that(self.browser.run("return document.activeElement.classList.contains('pick')"), "the focus is lost")
        self.browser.run("document.getElementById('clear').click()")

        frames = "return [...document.querySelectorAll('#flame-chart g:not(.above)')].map((g) => g.getAttribute('aria-label'))"
        before = self.browser.run(frames)
        self.browser.run("document.querySelector('#flame-chart g').focus()")
        for key in ("ArrowUp", "ArrowUp", "Enter"):
            self.browser.key(key)
        zoomed = self.browser.run("return document.querySelectorAll('#flame-chart g.above').length")
        self.that(zoomed >= 1, "Enter does not zoom into a frame")
        wide = "const a = document.querySelector('#flame-chart g:not(.above) rect'); return Math.abs(a.getBoundingClientRect().width - document.getElementById('flame-chart').clientWidth) < 4"
        self.that(self.browser.run(wide), "the zoomed frame is not as wide as the chart")
        self.browser.key("Escape")
        self.equal(self.browser.run(frames), before, "Escape does not show all frames again")
        spills = "return [...document.querySelectorAll('#flame-chart g')].filter((g) => { const t = g.querySelector('text'); return t && t.getBBox().width > g.querySelector('rect').getBBox().width; }).length"
        self.equal(self.browser.run(spills), 0, "texts wider than their frames")

    def hostile(self):
        for name, n in self.expected.get("elements", {}).items():
            self.equal(self.count(name), n, f"elements {name}")
        self.equal(self.browser.run("return window.touched === undefined"), True, "a recorded text was executed")
        handlers = "return [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on'))).length"
        self.equal(self.browser.run(handlers), 0, "elements with handlers as attributes")
        text = self.browser.run("return document.body.innerText + document.querySelector('main').textContent")
        for wanted in self.expected.get("shown", []):
            self.that(wanted in text, f"{wanted!r} is not on the page")

    def looks(self):
        colour = "return getComputedStyle(document.body).backgroundColor"
        seen = {}
        for scheme in ("light", "dark"):
            self.browser.look(1280, scheme=scheme)
            seen[scheme] = self.browser.run(colour)
            self.equal(self.browser.run(CONTRAST), [], f"hard to read, {scheme}")
        self.that(seen["light"] != seen["dark"], "dark is as light")
        self.browser.click("#theme")
        self.equal(self.browser.run(colour), seen["light"], "the button does not make it light")
        self.browser.click("#theme")
        self.browser.look(1280, scheme="light")
        self.equal(self.browser.run(colour), seen["dark"], "the button does not make it dark")
        self.browser.click("#theme")
        self.equal(self.browser.run(colour), seen["light"], "the button does not go back")
        for width in (360, 390, 768, 1280, 2000):
            self.browser.look(width)
            self.browser.call("POST", "/refresh", {})
            inner, outer = self.browser.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            self.that(inner <= outer, f"at {width} px the page scrolls sideways: {inner} > {outer}")
            self.equal(outer, width, "width of the viewport")
        unnamed = "return [...document.querySelectorAll('button, select, [role=img], [role=button], [role=region]')].filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim())).length"
        self.equal(self.browser.run(unnamed), 0, "controls without a name")
        self.equal(self.browser.run("return [...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"), 0, "ids used twice")
        self.browser.look(1280)

    def prints(self):
        pdf = self.browser.pdf()
        self.that(pdf.startswith(b"%PDF-") and len(pdf) > 10_000, "no PDF")
        self.that(pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") + pdf.count(b"/Type /Page ") >= 1, "a PDF without pages")
        self.browser.devtools("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.equal(self.browser.run("return getComputedStyle(document.querySelector('.tools')).display"), "none", "controls in print")
        self.equal(self.browser.run("return getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)", "paper")
        self.browser.devtools("Emulation.setEmulatedMedia", media="", features=[])

    def quiet(self):
        """No message in the console, and no request except for the file itself."""
        for entry in self.browser.log("browser"):
            self.wrong.append(f"console: {entry['message'][:300]}")
        own = pathlib.Path(self.page).resolve().as_uri()
        for entry in self.browser.log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                self.that(url.split("#")[0] == own, f"asked for {url[:200]}")


def main():
    page, what = sys.argv[1], sys.argv[2]
    with Browser() as browser:
        if what == "--shots":
            for name, width, scheme in (("desktop", 1280, "light"), ("narrow", 390, "light"), ("dark", 1280, "dark")):
                browser.look(width, scheme=scheme)
                browser.open(page)
                browser.screenshot(pathlib.Path(sys.argv[3]) / f"{name}.png")
            return
        check = Check(browser, page, json.loads(pathlib.Path(what).read_text()))
        check.everything()
    for wrong in check.wrong:
        print(wrong)
    sys.exit(1 if check.wrong else 0)


if __name__ == "__main__":
    main()
