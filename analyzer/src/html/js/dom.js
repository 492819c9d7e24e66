// Elements and numbers. Recorded text reaches the page as text only: nothing here takes markup.

const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== undefined && child !== null) node.append(child); // a string becomes a text node
  }
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function replace(id, ...children) {
  byId(id).replaceChildren(...children.flat().filter((child) => child !== undefined && child !== null));
}

const count = (n) => n.toLocaleString("en-US");
const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many || `${one}s`}`;

/// 1,234,567 as 1.23M, for axes only.
function compact(n) {
  for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (n >= size) return `${+(n / size).toPrecision(3)}${unit}`;
  }
  return String(n);
}

/// A percentage; rounding never turns it into 0 or 100 %.
function percent(part, whole) {
  if (!whole) return "–";
  const share = (part / whole) * 100;
  if (share > 0 && share < 0.1) return "< 0.1 %";
  if (share < 100 && share >= 99.95) return "> 99.9 %";
  return `${share >= 99.95 || share === 0 ? share : share.toFixed(1)} %`;
}

function duration(ms) {
  const units = [["d", 86400000], ["h", 3600000], ["min", 60000], ["s", 1000]];
  const parts = [];
  for (const [unit, size] of units) {
    const n = Math.floor(ms / size);
    ms -= n * size;
    if (n) parts.push(`${n} ${unit}`);
  }
  return parts.slice(0, 2).join(" ") || `${Math.round(ms)} ms`;
}

const iso = (ms) => new Date(ms).toISOString();
const day = (ms) => iso(ms).slice(0, 10);
/// `2026-11-21 20:18:19`; the caller adds that it is UTC.
const stamp = (ms) => `${day(ms)} ${iso(ms).slice(11, 19)}`;

/// The width of the chart's box, at least 240 px.
const widthOf = (id) => Math.max(240, Math.floor(byId(id).clientWidth) || 800);

/// A round step of at least `least`: 1, 2 or 5 times a power of ten.
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least);
}

const TIME_STEPS = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000].map((s) => s * 1000);

/// Positions and labels of the time axis between two moments.
function timeTicks(from, to, most) {
  const least = (to - from) / Math.max(most, 1);
  const step = TIME_STEPS.find((size) => size >= least) || TIME_STEPS.at(-1);
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const text = iso(at);
    const midnight = at % 86400000 === 0;
    ticks.push([at, step >= 86400000 || midnight ? text.slice(5, 10) : text.slice(11, step < 60000 ? 19 : 16)]);
  }
  return ticks;
}

/// The box that follows the pointer: a title and lines of [swatch class, label, value].
function showTip(x, y, title, lines) {
  const tip = byId("tip");
  tip.replaceChildren(
    el("b", {}, title),
    ...lines.map(([swatch, label, value]) =>
      el("div", { class: "line" }, swatch ? el("i", { class: `swatch ${swatch}` }) : null, el("span", { class: "label" }, label), el("span", { class: "n" }, value))),
  );
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  tip.style.left = `${Math.max(8, Math.min(left, innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(8, Math.min(y + 14, innerHeight - box.height - 8))}px`;
}
const hideTip = () => { byId("tip").hidden = true; };
