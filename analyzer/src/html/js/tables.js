// Tables: the most frequent rows first, a dozen until the reader asks for all.

const ROWS = 12;
const unfolded = new Set();

/// A recorded name, or a word of the page.
const nameOf = ({ text, ours }, more) => el("span", { class: `name${ours ? " none" : ""}${more || ""}`, dir: ours ? undefined : "auto", title: text.length > 60 ? text : undefined }, text);

/// Puts rows into a table with the id `place`; `row(entry)` gives the cells.
function table(place, caption, head, entries, row, empty) {
  const shown = unfolded.has(place) ? entries : entries.slice(0, ROWS);
  if (!entries.length) {
    replace(place, el("p", { class: "empty" }, empty || "None in this view."));
    return;
  }
  const body = shown.map(row);
  const parts = [
    el("table", {}, el("caption", { class: "sr" }, caption),
      el("thead", {}, el("tr", {}, head.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
      el("tbody", {}, body)),
  ];
  if (entries.length > ROWS) {
    const open = unfolded.has(place);
    parts.push(el("button", { type: "button", class: "more", "data-key": `more/${place}`, "aria-expanded": String(open), onclick: () => { if (!unfolded.delete(place)) unfolded.add(place); redraw(); } },
      open ? `Show the first ${ROWS}` : `Show all ${count(entries.length)}`));
  }
  replace(place, parts);
}

/// A bar for the share; the cell before it has the number.
function shareBar(n, most, shade) {
  const bar = el("span", { class: `share-bar ${shade || "s0"}` });
  bar.style.width = `${(n / most) * 100}%`;
  return el("td", { class: "share", "aria-hidden": "true" }, bar);
}

/// A row that filters when clicked, by mouse or by its button.
function pickRow(dimension, index, ...cells) {
  const row = el("tr", { class: `pickable${filters[dimension].has(index) ? " chosen" : ""}`, "data-dimension": dimension, "data-index": index }, cells);
  row.addEventListener("click", () => { if (!String(getSelection())) toggle(dimension, index); });
  return row;
}
const pickName = (dimension, index, name) => el("button", { type: "button", class: "pick", "data-key": `row/${dimension}/${index}`, "aria-pressed": String(filters[dimension].has(index)) }, name);

const HEAD = (first) => [[first, ""], ["Resets", "num"], ["Share", "num"], ["", "share"]];

function drawDimension(dimension, kept, whole) {
  const entries = totals(data.cube, kept, dimension);
  const most = entries.length ? entries[0][1] : 1;
  table(`${PLURAL[dimension]}-table`, `Resets by ${dimension}`, HEAD(dimension[0].toUpperCase() + dimension.slice(1)), entries, ([index, n]) => {
    const one = label(dimension, index);
    return pickRow(dimension, index,
      el("th", { scope: "row" }, pickName(dimension, index, nameOf(one, one.text.length > 60 ? " long" : "")), portName(dimension, index)),
      el("td", { class: "num" }, count(n)), el("td", { class: "num" }, percent(n, whole)), shareBar(n, most));
  });
}

function portName(dimension, index) {
  const service = dimension === "port" ? data.services[VALUES.port[index]] : undefined;
  return service ? el("span", { class: "muted" }, ` ${service}`) : null;
}

const BLAME = {
  app: ["an application on this host", "by-app"], peer: ["the other side", "by-peer"], fw: ["a firewall rule here", "by-fw"],
  res: ["a limit of this host", "by-res"], op: ["an operator or BPF program", "by-op"], net: ["the path between", "by-net"],
};
const blameOf = (index) => BLAME[data.causes[index].blame] || ["not proven", "unknown"];

function drawCauses(kept, whole) {
  const entries = totals(data.cube, kept, "cause");
  const most = entries.length ? entries[0][1] : 1;
  table("causes-table", "Resets by cause", HEAD("Cause"), entries, ([index, n]) => {
    const cause = data.causes[index];
    const [who, shade] = blameOf(index);
    return pickRow("cause", index,
      el("th", { scope: "row" },
        el("span", { class: "cause" }, pickName("cause", index, el("span", { class: "name mono" }, cause.name)),
          el("span", { class: "badge" }, el("i", { class: `swatch ${shade}` }), who)),
        el("span", { class: "explain" }, cause.meaning), el("span", { class: "explain" }, cause.check ? [el("b", {}, "Check: "), cause.check] : null)),
      el("td", { class: "num" }, count(n)), el("td", { class: "num" }, percent(n, whole)), shareBar(n, most, causeClass(index)));
  });
  drawBlame(entries, whole);
}

/// One bar: the share of the resets of each party that acted.
function drawBlame(entries, whole) {
  const sums = new Map();
  for (const [index, n] of entries) {
    const [who, shade] = blameOf(index);
    sums.set(who, { who, shade, n: (sums.get(who)?.n || 0) + n });
  }
  const parts = [...sums.values()].sort((a, b) => b.n - a.n);
  const bar = el("div", { class: "blame", role: "img", "aria-label": parts.map(({ who, n }) => `${who} ${percent(n, whole)}`).join(", ") });
  for (const { shade, n } of parts) {
    const part = el("span", { class: shade });
    part.style.flex = `${n} 1 0`;
    bar.append(part);
  }
  replace("blame-chart", parts.length ? [bar, el("div", { class: "legend" }, parts.map(({ who, shade, n }) =>
    el("span", { class: "item" }, el("i", { class: `swatch ${shade}` }), who, el("span", { class: "n" }, percent(n, whole)))))] : []);
}

function drawPeers(whole) {
  const { peers } = data;
  const kept = passing(peers.cells);
  const entries = totals(peers.cells, kept, "peer");
  const most = entries.length ? entries[0][1] : 1;
  const causes = new Map();
  for (const at of kept) {
    const peer = peers.cells.peer[at];
    if (!causes.has(peer)) causes.set(peer, new Map());
    const of = causes.get(peer);
    of.set(peers.cells.cause[at], (of.get(peers.cells.cause[at]) || 0) + peers.cells.n[at]);
  }
  table("peers-table", "Resets by peer address", HEAD("Peer"), entries, ([index, n]) => {
    const [cause, of] = [...causes.get(index)].sort((a, b) => b[1] - a[1])[0];
    return el("tr", {}, el("th", { scope: "row" }, nameOf({ text: peers.names[index] }, " mono"),
      el("span", { class: "explain" }, `${of === n ? "all" : percent(of, n)} ${data.causes[cause].name}`)),
      el("td", { class: "num" }, count(n)), el("td", { class: "num" }, percent(n, whole)), shareBar(n, most));
  });
  const rest = whole - sum(peers.cells, kept);
  if (rest > 0) {
    const listed = `This page lists ${count(peers.names.length)} of ${count(peers.distinct)}: the most frequent overall, for each cause and for each container.`;
    byId("peers-table").append(el("p", { class: "rest-row" }, `${plural(rest, "reset")} of other peers. ${listed}`));
  }
}
