// Assembles the parts and redraws the page whenever a filter changes.

function draw() {
  const kept = passing(data.cube);
  const whole = sum(data.cube, kept);
  drawFilters();
  drawHead(kept, whole);
  drawTimeline(kept);
  drawCauses(kept, whole);
  drawDimension("container", kept, whole);
  drawDimension("port", kept, whole);
  drawDimension("host", kept, whole);
  drawPeers(whole);
  drawFlame(whole);
  drawCoverage();
  document.body.dataset.resets = whole;
}

function changed() {
  flameZoom = [];
  rememberFilters();
  redraw();
}

/// Drawing recreates every control: the focus stays on the same one or, if it is gone, moves to
/// the list that brings it back.
function redraw() {
  const key = document.activeElement?.dataset?.key;
  draw();
  if (!key) return;
  const same = (wanted) => [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === wanted);
  (same(key) || same(`select/${key.split("/")[1]}`))?.focus({ preventScroll: true });
}

/// The sentence on top, the figures and the warnings.
function drawHead(kept, whole) {
  const causes = totals(data.cube, kept, "cause");
  const containers = totals(data.cube, kept, "container").filter(([index]) => data.containers[index] !== null);
  const ports = totals(data.cube, kept, "port");
  const hosts = chosenHosts();
  const add = (key) => hosts.reduce((n, one) => n + one[key], 0);
  const unknown = causes.filter(([index]) => data.causes[index].name === "unknown").reduce((n, [, m]) => n + m, 0);
  const [recordedMs, wholeMs] = coverageShare();

  if (!data.total) replace("headline", hosts.length ? "No reset was recorded in this window." : "Nothing was recorded in this window: no segment covers it.");
  else if (!whole) replace("headline", "No reset matches all of these filters.");
  else {
    const [first, n] = causes[0];
    const sentence = [el("strong", {}, plural(whole, "reset")), ". "];
    if (causes.length > 1) sentence.push(`Most often, ${percent(n, whole)}: `);
    sentence.push(el("span", { class: "mono" }, data.causes[first].name), ", by ", blameOf(first)[0], ". ", data.causes[first].meaning);
    const named = containers[0];
    if (named && !filters.container.size && named[1] * 4 > whole) sentence.push(" ", el("span", { class: "name" }, short(label("container", named[0]).text, 60)), ` has ${percent(named[1], whole)} of them.`);
    replace("headline", sentence);
  }
  const figure = (title, value, small, kind) => el("div", { class: kind }, el("dt", {}, title), el("dd", {}, value, el("small", {}, small)));
  const valuesOf = (entries, dimension) => entries.reduce((n, [index]) => n + (data[`${dimension}s`][index]?.other || 1), 0);
  replace("figures",
    figure("Resets", count(whole), isFiltered() ? `of ${count(data.total)} in the window` : "in the window"),
    figure("Causes", count(causes.length), whole ? `${percent(unknown, whole)} of the resets unknown` : "–"),
    figure("Containers", count(valuesOf(containers, "container")), plural(valuesOf(ports, "port"), "port")),
    figure("Hosts", count(hosts.length), "that recorded"),
    figure("Recorded time", wholeMs ? percent(recordedMs, wholeMs) : "–", `${plural(add("gaps"), "gap")} in recording`, wholeMs && recordedMs / wholeMs < 0.99 ? "bad" : ""),
    figure("Lost", count(add("lost")), `${count(add("seen"))} seen = ${count(add("written"))} written + ${add("counted") ? `${count(add("counted"))} counted + ` : ""}${count(add("lost"))} lost`, add("lost") ? "bad" : ""));

  const warnings = [];
  if (add("lost")) warnings.push(`${plural(add("lost"), "reset was", "resets were")} seen but not recorded: the counts here are too low by that number. See “Coverage and losses”.`);
  if (wholeMs && add("gaps")) warnings.push(`Recording has ${plural(add("gaps"), "gap")}: ${percent(wholeMs - recordedMs, wholeMs)} of the hosts' time is not covered.`);
  if (unknown * 20 > whole) warnings.push(`The cause of ${plural(unknown, "reset")} is unknown: see the kernel stacks below.`);
  replace("warnings", warnings.map((text) => el("li", {}, text)));
}

function drawOnce() {
  const { window: frame } = data;
  document.title = data.title;
  byId("title").textContent = data.title;
  const names = data.hosts.map((_, index) => label("host", index).text);
  const hosts = names.length > 4 ? `${names.slice(0, 3).map((name) => short(name, 40)).join(", ")} and ${count(names.length - 3)} more hosts` : names.map((name) => short(name, 60)).join(", ");
  const parts = [hosts, frame.to > frame.from ? `${stamp(frame.from)} to ${stamp(frame.to)} UTC (${duration(frame.to - frame.from)})` : "", data.kernels.length ? `kernel ${data.kernels.slice(0, 4).join(", ")}${data.kernels.length > 4 ? " …" : ""}` : ""];
  byId("subtitle").textContent = parts.filter(Boolean).join(" · ");
  byId("timeline-hint").textContent = `Each bar is ${duration(data.bucket.width)}. Times are UTC. Click a cause to show only that cause.`;
  byId("hosts").hidden = data.hosts.length < 2;
  replace("notes-list", data.notes.map((text) => el("li", {}, text.replace(/\d{4,}/g, (digits) => count(Number(digits))))));
}

function chooseTheme() {
  const order = ["auto", "light", "dark"];
  const root = document.documentElement;
  const next = order[(order.indexOf(root.dataset.theme || "auto") + 1) % order.length];
  if (next === "auto") delete root.dataset.theme;
  else root.dataset.theme = next;
  byId("theme").textContent = `Theme: ${next}`;
}

byId("theme").addEventListener("click", chooseTheme);
byId("print").addEventListener("click", () => print());
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
addEventListener("hashchange", () => {
  for (const dimension of DIMENSIONS) filters[dimension].clear();
  recallFilters();
  draw();
});
let drawnWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === drawnWidth) return;
  drawnWidth = innerWidth;
  draw();
});
recallFilters();
drawOnce();
draw();
