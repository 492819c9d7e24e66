// Coverage of the recording: a strip for each host with its gaps, and resets seen but lost.
// Losses have a host and a port, but neither cause nor container.

const STRIPS = 24;

const chosenHosts = () => data.coverage.filter((one) => !filters.host.size || filters.host.has(one.host));

/// Losses by interval, for the chosen hosts.
function lostByBucket() {
  const { lost_time: lost } = data;
  const sums = new Map();
  lost.n.forEach((n, at) => {
    if (filters.host.size && !filters.host.has(lost.host[at])) return;
    sums.set(lost.t[at], (sums.get(lost.t[at]) || 0) + n);
  });
  return [...sums].sort((a, b) => a[0] - b[0]);
}

/// Spans of the window in which none of the chosen hosts recorded.
function nobodyRecorded() {
  const { from, to } = data.window;
  const spans = chosenHosts().flatMap((one) => one.spans).sort((a, b) => a[0] - b[0]);
  const gaps = [];
  let end = from;
  for (const [a, b] of spans) {
    if (a > end) gaps.push([end, a]);
    end = Math.max(end, b);
  }
  if (end < to) gaps.push([end, to]);
  return gaps;
}

/// Recorded time of the chosen hosts, and the time of the window summed over them.
function coverageShare() {
  const hosts = chosenHosts();
  const whole = hosts.length * (data.window.to - data.window.from);
  return [hosts.reduce((ms, one) => ms + one.recorded_ms, 0), whole];
}

function drawCoverage() {
  const hosts = chosenHosts();
  const { from, to } = data.window;
  const x = (ms) => ((Math.max(from, Math.min(to, ms)) - from) / Math.max(1, to - from)) * 1000;
  const hostName = (one) => nameOf({ text: one.name });
  replace("coverage-hint", hosts.length ? "Green: recorded time. Hatched: no recorder ran, so an absence of resets there means nothing." : "No segments in this window.");

  const strips = hosts.slice(0, STRIPS).map((one) => {
    const strip = svg("svg", { viewBox: "0 0 1000 16", preserveAspectRatio: "none", role: "img", "aria-label": `${one.name}: ${percent(one.recorded_ms, to - from)} of the time recorded, ${plural(one.gaps, "gap")}` },
      hatchStretched(), svg("rect", { class: "strip-gap", x: 0, y: 0, width: 1000, height: 16, fill: "url(#hatch-strip)" }));
    for (const [a, b] of one.spans) strip.append(svg("rect", { class: "recorded", x: x(a).toFixed(2), y: 0, width: Math.max(1, x(b) - x(a)).toFixed(2), height: 16 }));
    strip.addEventListener("pointermove", (event) => {
      const box = strip.getBoundingClientRect();
      const at = from + ((event.clientX - box.left) / box.width) * (to - from);
      const inside = one.spans.find(([a, b]) => a <= at && at <= b);
      showTip(event.clientX, event.clientY, `${stamp(at)} UTC`, [["", inside ? "recorded" : "not recorded", ""], ...(inside ? [["", "from", stamp(inside[0])], ["", "to", stamp(inside[1])]] : [])]);
    });
    strip.addEventListener("pointerleave", hideTip);
    return el("div", { class: "strip" }, hostName(one), strip, el("span", { class: "num" }, percent(one.recorded_ms, to - from)));
  });
  if (hosts.length > STRIPS) strips.push(el("p", { class: "rest-row" }, `${plural(hosts.length - STRIPS, "other host")} in the table below.`));
  replace("coverage-chart", strips);

  // Only a storm has resets that are counted in place of a row each.
  const storms = hosts.some((one) => one.counted);
  table("coverage-table", "Coverage by host", [["Host", ""], ["Kernel", "wide"], ["Recorded", "num"], ["Gaps", "num"], ["Seen", "num wide"], ["Written", "num"], ...(storms ? [["Counted", "num"]] : []), ["Lost", "num"]], hosts, (one) =>
    el("tr", {}, el("th", { scope: "row" }, hostName(one)), el("td", { class: "wide" }, el("span", { class: "name" }, one.kernels.join(", "))),
      el("td", { class: "num" }, duration(one.recorded_ms)), el("td", { class: "num" }, count(one.gaps)), el("td", { class: "num wide" }, count(one.seen)),
      el("td", { class: "num" }, count(one.written)), ...(storms ? [el("td", { class: "num" }, count(one.counted))] : []), el("td", { class: `num${one.lost ? " has-lost" : ""}` }, count(one.lost))));
  scrollable("coverage-table", "Coverage by host");
  drawLosses();
}

function drawLosses() {
  const losses = data.losses.rows.filter((one) => (!filters.host.size || filters.host.has(one.host)) && (!filters.port.size || filters.port.has(one.port_at)));
  const blind = filters.cause.size || filters.container.size;
  table("losses-table", "Lost resets by what they had in common", [["Host", ""], ["Where", "wide"], ["Caller", ""], ["Reason", "wide"], ["Port", "num"], ["Lost", "num"]], losses, (one) =>
    el("tr", {}, el("th", { scope: "row" }, nameOf({ text: one.name })), el("td", { class: "wide" }, one.stage), el("td", {}, recorded(one.caller, "mono")), el("td", { class: "wide" }, recorded(one.reason)),
      el("td", { class: "num" }, recorded(one.port === null ? null : String(one.port))), el("td", { class: "num" }, count(one.n))),
  chosenHosts().length ? "Nothing was lost: every reset that was seen was recorded." : "Nothing was recorded, so losses are unknown.");
  scrollable("losses-table", "Lost resets");
  if (losses.length && blind) byId("losses-table").append(el("p", { class: "rest-row" }, "Losses have neither cause nor container: those filters do not apply to them."));
  if (data.losses.left) byId("losses-table").append(el("p", { class: "rest-row" }, `${plural(data.losses.left, "lost reset")} of rarer kinds not listed.`));
}

const recorded = (text, more) => (text === null ? el("span", { class: "name none" }, "not known") : el("span", { class: `name ${more || ""}` }, text));

/// A wide table scrolls in its own box; the page does not.
function scrollable(place, text) {
  const inner = byId(place).querySelector("table");
  if (!inner) return;
  const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text });
  inner.replaceWith(box);
  box.append(inner);
}

let hatched = 0;
function hatchStretched() {
  hatched += 1;
  return hatched === 1 ? svg("defs", {}, svg("pattern", { id: "hatch-strip", width: 7, height: 16, patternUnits: "userSpaceOnUse" }, svg("path", { class: "hatch", d: "M1 16L6 0" }))) : svg("defs", {});
}
