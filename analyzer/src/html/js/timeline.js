// The timeline: a bar for each interval, stacked by cause. Colours belong to causes, not to ranks,
// so that they do not change with the filters.

const COLOURS = 9;
const causeClass = (() => {
  const classes = new Map();
  let next = 0;
  for (const [index] of totals(data.cube, passing(data.cube), "cause")) {
    if (data.causes[index].name === "unknown") classes.set(index, "unknown");
    else { classes.set(index, next < COLOURS ? `s${next}` : "rest"); next += 1; }
  }
  return (index) => classes.get(index) || "rest";
})();

let timelineSeries = [];
let timelineAt = -1;

/// Sums by interval for each cause that has a colour, and for the rest together.
function seriesOf(kept) {
  const { cube, bucket } = data;
  const series = new Map();
  for (const at of kept) {
    const cause = cube.cause[at];
    const shade = causeClass(cause);
    const name = shade === "rest" ? -1 : cause;
    if (!series.has(name)) series.set(name, { cause: name, shade, total: 0, values: new Array(bucket.count).fill(0), causes: new Set() });
    const one = series.get(name);
    const steps = cube.times[at];
    for (let step = 0, t = 0; step < steps.length; step += 2) {
      t += steps[step];
      one.values[t] += steps[step + 1];
    }
    one.total += cube.n[at];
    one.causes.add(cause);
  }
  return [...series.values()].sort((a, b) => (a.cause === -1) - (b.cause === -1) || b.total - a.total);
}

const seriesName = (one) => {
  if (one.cause !== -1) return data.causes[one.cause].name;
  return one.causes.size === 1 ? data.causes[[...one.causes][0]].name : `${one.causes.size} other causes`;
};

function drawTimeline(kept) {
  const { bucket, window: frame } = data;
  timelineSeries = seriesOf(kept);
  timelineAt = -1;
  const width = widthOf("timeline-chart");
  const height = width < 500 ? 210 : 270;
  const [left, right, top, bottom] = [46, 4, 12, 24];
  const plot = { w: width - left - right, h: height - top - bottom };
  const sums = new Array(bucket.count).fill(0);
  for (const one of timelineSeries) one.values.forEach((n, t) => { sums[t] += n; });
  const highest = Math.max(...sums, 1);
  const step = Math.max(1, roundStep(highest / 4));
  const most = Math.ceil(highest / step) * step;
  const x = (t) => left + (t / bucket.count) * plot.w;
  const xTime = (ms) => left + ((ms - bucket.start) / (bucket.count * bucket.width)) * plot.w;
  const y = (n) => top + plot.h - (n / most) * plot.h;

  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "timeline", role: "img", tabindex: "0", "aria-label": timelineText(sums) });
  chart.append(hatch());
  for (let n = 0; n <= most; n += step) {
    chart.append(svg("line", { class: n ? "grid" : "baseline", x1: left, x2: width - right, y1: y(n), y2: y(n) }),
      svg("text", { x: left - 7, y: y(n) + 4, "text-anchor": "end" }, compact(n)));
  }
  for (const [ms, text] of timeTicks(bucket.start, bucket.start + bucket.count * bucket.width, plot.w / 62)) {
    const at = xTime(ms);
    if (at < left || at > width - right) continue;
    chart.append(svg("line", { class: "grid", x1: at, x2: at, y1: top + plot.h, y2: top + plot.h + 4 }));
    if (at > left + 14 && at < width - 18) chart.append(svg("text", { x: at, y: height - 6, "text-anchor": "middle" }, text));
  }
  for (const [from, to] of nobodyRecorded()) {
    const a = Math.max(left, xTime(Math.max(from, frame.from)));
    chart.append(svg("rect", { class: "gap", x: a, y: top, width: Math.max(1, Math.min(width - right, xTime(to)) - a), height: plot.h }));
  }
  const gap = plot.w / bucket.count > 4 ? 1 : 0;
  const heights = new Array(bucket.count).fill(0);
  for (const one of timelineSeries) {
    for (let t = 0; t < bucket.count; t += 1) {
      const n = one.values[t];
      if (!n) continue;
      chart.append(svg("rect", { class: `bar ${one.shade}`, x: (x(t) + gap / 2).toFixed(2), width: Math.max(0.6, plot.w / bucket.count - gap).toFixed(2), y: y(heights[t] + n).toFixed(2), height: Math.max(0.4, (n / most) * plot.h).toFixed(2) }));
      heights[t] += n;
    }
  }
  for (const [t] of lostByBucket()) {
    const at = x(t + 0.5);
    chart.append(svg("path", { class: "lost-mark", d: `M${at - 4} ${top - 10}h8l-4 7z` }));
  }
  const cursor = svg("rect", { class: "cursor", x: 0, y: top, width: plot.w / bucket.count, height: plot.h, visibility: "hidden" });
  chart.append(cursor);

  const lost = new Map(lostByBucket());
  const show = (t, px, py) => {
    timelineAt = Math.max(0, Math.min(bucket.count - 1, t));
    cursor.setAttribute("x", x(timelineAt));
    cursor.setAttribute("visibility", "visible");
    const from = bucket.start + timelineAt * bucket.width;
    const lines = timelineSeries.filter((one) => one.values[timelineAt]).map((one) => [one.shade, seriesName(one), count(one.values[timelineAt])]);
    lines.sort((a, b) => Number(b[2].replaceAll(",", "")) - Number(a[2].replaceAll(",", "")));
    lines.push(["", "all", count(sums[timelineAt])]);
    if (lost.has(timelineAt)) lines.push(["", "lost", count(lost.get(timelineAt))]);
    showTip(px, py, `${stamp(from)} UTC, ${duration(bucket.width)}`, lines);
  };
  const hide = () => { cursor.setAttribute("visibility", "hidden"); hideTip(); };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    if (at < left) hide();
    else show(Math.floor(((at - left) / plot.w) * bucket.count), event.clientX, event.clientY);
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === "Escape") hide();
    if (move === undefined) return;
    event.preventDefault();
    const box = chart.getBoundingClientRect();
    const t = Math.max(0, Math.min(bucket.count - 1, timelineAt + move));
    show(t, box.left + (x(t + 0.5) / width) * box.width, box.top + 20);
  });
  replace("timeline-chart", chart);
  drawLegend();
}

function timelineText(sums) {
  const peak = sums.indexOf(Math.max(...sums));
  if (!sums[peak]) return "No resets in this view.";
  return `Resets by time and cause. Most: ${count(sums[peak])} in ${duration(data.bucket.width)} from ${stamp(data.bucket.start + peak * data.bucket.width)} UTC. Arrow keys read the values.`;
}

function drawLegend() {
  const items = timelineSeries.map((one) => {
    const parts = [el("i", { class: `swatch ${one.shade}` }), el("span", { class: "name" }, seriesName(one)), el("span", { class: "n" }, count(one.total))];
    if (one.cause === -1) return el("span", { class: "item" }, parts);
    return el("button", { type: "button", "data-key": `legend/${one.cause}`, "aria-pressed": String(filters.cause.has(one.cause)), onclick: () => toggle("cause", one.cause) }, parts);
  });
  if (lostByBucket().length) items.push(el("span", { class: "item" }, svg("svg", { width: 10, height: 9, "aria-hidden": "true" }, svg("path", { class: "lost-mark", d: "M0 0h9l-4.5 8z" })), "resets were lost"));
  if (nobodyRecorded().length) items.push(el("span", { class: "item" }, svg("svg", { width: 14, height: 11, "aria-hidden": "true" }, svg("rect", { class: "gap", width: 14, height: 11 })), "not recorded"));
  replace("timeline-legend", items);
}

/// The pattern for time without a recorder.
const hatch = () => svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 })));
