// The flame graph: kernel stacks, root at the bottom, width by frequency. A click zooms in.

const FRAME_HEIGHT = 21;
let flameZoom = []; // frames from the root to the zoomed one
const ruler = document.createElement("canvas").getContext("2d");

/// The tree of frames of the stacks that pass the filters.
function flameTree() {
  const root = { name: "all", n: 0, children: new Map(), depth: 0, parent: null };
  const { stacks } = data;
  for (const [stack, n] of totals(stacks.cells, passing(stacks.cells), "stack")) {
    root.n += n;
    let node = root;
    for (const frame of stacks.paths[stack]) {
      if (!node.children.has(frame)) node.children.set(frame, { frame, name: stacks.frames[frame], n: 0, children: new Map(), depth: node.depth + 1, parent: node });
      node = node.children.get(frame);
      node.n += n;
    }
  }
  return root;
}

const pathOf = (node) => (node.parent ? [...pathOf(node.parent), node.frame] : []);

/// The text, shortened to the width of the frame.
function fitted(text, room) {
  ruler.font = `12px ${getComputedStyle(document.documentElement).getPropertyValue("--mono")}`;
  if (room < 22) return "";
  if (ruler.measureText(text).width <= room) return text;
  let [fits, not] = [0, Math.min(text.length, 400)];
  while (not - fits > 1) {
    const half = (fits + not) >> 1;
    if (ruler.measureText(`${text.slice(0, half)}…`).width <= room) fits = half;
    else not = half;
  }
  return fits > 1 ? `${text.slice(0, fits)}…` : "";
}

function shadeOf(name) {
  let hash = 7;
  for (let at = 0; at < name.length; at += 1) hash = (hash * 31 + name.charCodeAt(at)) >>> 0;
  return `f${hash % 6}`;
}

function drawFlame(whole) {
  const root = flameTree();
  const missing = whole - root.n;
  const hint = [root.n ? "Width is the number of resets; callers are below callees. Click a frame to zoom in, the bottom one to see all." : "No stacks in this view."];
  if (missing > 0) hint.push(` ${plural(missing, "reset")} without a stack or of rarer stacks ${missing === 1 ? "is" : "are"} not drawn.`);
  replace("flame-hint", hint);
  byId("flame-status").textContent = "";
  if (!root.n) { replace("flame-chart"); return; }

  let zoomed = root;
  for (const frame of flameZoom) {
    if (!zoomed.children.has(frame)) break;
    zoomed = zoomed.children.get(frame);
  }
  const width = widthOf("flame-chart");
  const placed = [];
  for (let node = zoomed.parent; node; node = node.parent) placed.push({ node, x: 0, w: width, above: true });
  (function place(node, x, w) {
    if (w < 0.4) return;
    placed.push({ node, x, w });
    let at = x;
    for (const child of [...node.children.values()].sort((a, b) => b.n - a.n)) {
      const share = (child.n / node.n) * w;
      place(child, at, share);
      at += share;
    }
  })(zoomed, 0, width);
  const rows = Math.max(...placed.map(({ node }) => node.depth)) + 1;
  const height = rows * FRAME_HEIGHT + 1;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "flame", role: "group", "aria-label": "Flame graph of kernel stacks. Arrow keys move, Enter zooms, Escape shows all." });
  const say = (node) => `${node.name}: ${plural(node.n, "reset")}, ${percent(node.n, root.n)} of those drawn`;
  const items = new Map();
  placed.sort((a, b) => a.node.depth - b.node.depth || a.x - b.x);
  for (const { node, x, w, above } of placed) {
    const text = fitted(node.name, w - 8);
    const y = height - (node.depth + 1) * FRAME_HEIGHT;
    // A nested svg clips text that is taller or wider than its measured size.
    const item = svg("g", { class: `${shadeOf(node.name)}${above ? " above" : ""}`, role: "button", tabindex: node === zoomed ? "0" : "-1", "aria-label": say(node) },
      svg("rect", { x: x.toFixed(2), y, width: Math.max(0.5, w).toFixed(2), height: FRAME_HEIGHT - 1, rx: 2 }),
      text ? svg("svg", { x: x.toFixed(2), y, width: Math.max(0.5, w - 2).toFixed(2), height: FRAME_HEIGHT - 1 }, svg("text", { x: 5, y: 14 }, text)) : null);
    item.addEventListener("click", () => { flameZoom = pathOf(node); drawFlame(whole); const again = byId("flame-chart").querySelector("g[tabindex='0']"); if (again) again.focus({ preventScroll: true }); });
    item.addEventListener("pointermove", (event) => { showTip(event.clientX, event.clientY, node.name, [["", "resets", count(node.n)], ["", "of those drawn", percent(node.n, root.n)], ["", "of the frame below", node.parent ? percent(node.n, node.parent.n) : "–"]]); });
    item.addEventListener("pointerleave", hideTip);
    item.addEventListener("focus", () => { byId("flame-status").textContent = say(node); });
    item.addEventListener("keydown", (event) => flameKey(event, node, items, whole));
    items.set(node, item);
    chart.append(item);
  }
  chart.addEventListener("pointerdown", hideTip);
  replace("flame-chart", chart);
}

function flameKey(event, node, items, whole) {
  const drawn = (nodes) => nodes.filter((one) => items.has(one));
  const siblings = node.parent ? drawn([...node.parent.children.values()].sort((a, b) => b.n - a.n)) : [node];
  const near = {
    ArrowUp: () => drawn([...node.children.values()].sort((a, b) => b.n - a.n))[0],
    ArrowDown: () => node.parent,
    ArrowLeft: () => siblings[siblings.indexOf(node) - 1],
    ArrowRight: () => siblings[siblings.indexOf(node) + 1],
  }[event.key];
  if (near) {
    const next = near();
    if (next) {
      items.get(node).setAttribute("tabindex", "-1");
      items.get(next).setAttribute("tabindex", "0");
      items.get(next).focus();
    }
  } else if (event.key === "Enter" || event.key === " ") items.get(node).dispatchEvent(new MouseEvent("click"));
  else if (event.key === "Escape") { flameZoom = []; drawFlame(whole); byId("flame-chart").querySelector("g").focus(); } else return;
  event.preventDefault();
}
