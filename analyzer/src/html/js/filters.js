// Filters: the chosen values of each dimension. Every chart and table counts the cells of the
// cube that pass them, so every number is exact.

const DIMENSIONS = ["cause", "container", "port", "host"];
const VALUES = { cause: data.causes.map((cause) => cause.name), container: data.containers, port: data.ports, host: data.hosts };
const PLURAL = { cause: "causes", container: "containers", port: "ports", host: "hosts" };
const filters = Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, new Set()]));

/// A value of a dictionary as text; `ours` is set for a word of the page, not of the recording.
function label(dimension, index) {
  const value = VALUES[dimension][index];
  if (value === null) return { text: dimension === "container" ? "no container" : "none", ours: true };
  if (typeof value === "object") return { text: `${count(value.other)} other ${PLURAL[dimension]}`, ours: true };
  return value === "" ? { text: "an empty name", ours: true } : { text: String(value), ours: false };
}

/// Indices of the cells that pass the filters, ignoring the filter of `except` if given.
function passing(cells, except) {
  const active = DIMENSIONS.filter((dimension) => dimension !== except && filters[dimension].size);
  const kept = [];
  for (let at = 0; at < cells.n.length; at += 1) {
    if (active.every((dimension) => filters[dimension].has(cells[dimension][at]))) kept.push(at);
  }
  return kept;
}

/// Sums of the cells `kept` by one of their columns, largest first.
function totals(cells, kept, column) {
  const sums = new Map();
  for (const at of kept) sums.set(cells[column][at], (sums.get(cells[column][at]) || 0) + cells.n[at]);
  return [...sums].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}

const sum = (cells, kept) => kept.reduce((n, at) => n + cells.n[at], 0);
const isFiltered = () => DIMENSIONS.some((dimension) => filters[dimension].size);

function toggle(dimension, index) {
  const chosen = filters[dimension];
  if (!chosen.delete(index)) chosen.add(index);
  changed();
}

function clearFilters() {
  for (const dimension of DIMENSIONS) filters[dimension].clear();
  changed();
}

function drawFilters() {
  const selects = DIMENSIONS.map((dimension) => {
    const chosen = filters[dimension];
    const sums = totals(data.cube, passing(data.cube, dimension), dimension);
    const title = chosen.size ? `${PLURAL[dimension]}: ${chosen.size} chosen` : `All ${PLURAL[dimension]}`;
    const node = el("select", { id: `select-${dimension}`, "data-key": `select/${dimension}`, "aria-label": `Filter by ${dimension}`, onchange: () => { if (node.value !== "") toggle(dimension, Number(node.value)); } },
      el("option", { value: "" }, title[0].toUpperCase() + title.slice(1)),
      ...sums.map(([index, n]) => el("option", { value: index }, `${chosen.has(index) ? "✓ " : ""}${short(label(dimension, index).text, 60)} (${count(n)})`)));
    return node;
  });
  replace("selects", selects);
  const chips = DIMENSIONS.flatMap((dimension) => [...filters[dimension]].map((index) => {
    const { text } = label(dimension, index);
    return el("button", { type: "button", class: "chip", "data-dimension": dimension, "data-key": `chip/${dimension}/${index}`, "aria-label": `Remove filter: ${dimension} ${text}`, onclick: () => toggle(dimension, index) },
      `${dimension} `, el("b", { title: text }, short(text, 60)), el("span", { class: "x", "aria-hidden": "true" }, "×"));
  }));
  if (chips.length) chips.push(el("button", { type: "button", class: "chip clear", id: "clear", onclick: clearFilters }, "Clear all"));
  replace("active", chips);
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/// Puts the filters into the address, to bookmark or send a view: `#cause=timewait&port=443`.
function rememberFilters() {
  const pairs = DIMENSIONS.flatMap((dimension) => [...filters[dimension]].map((index) => [dimension, key(dimension, index)]));
  const hash = new URLSearchParams(pairs).toString();
  try { history.replaceState(null, "", `#${hash}`); } catch { /* some viewers refuse it */ }
}

function recallFilters() {
  for (const [dimension, wanted] of new URLSearchParams(location.hash.slice(1))) {
    if (!DIMENSIONS.includes(dimension)) continue;
    const index = VALUES[dimension].findIndex((_, at) => key(dimension, at) === wanted);
    if (index >= 0) filters[dimension].add(index);
  }
}

/// Words of the page start with `~`; a `~` at the start of a recorded one is doubled.
function key(dimension, index) {
  const value = VALUES[dimension][index];
  if (value === null) return "~none";
  return typeof value === "object" ? "~other" : String(value).replace(/^~/, "~~");
}
