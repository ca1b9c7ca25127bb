"use strict";
const { candidates, data_sets: DATA_SETS } = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const place = (model) => model.latencies.find((each) => each.where === at("where").value);
const digits = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const percent = (value) => (100 * value).toFixed(1);
const COSTS = {
  latency: { title: "latency p50, ms", of: (model) => place(model)?.ms, text: digits, local: true },
  bytes: { title: "file, MB", of: (model) => model.bytes / 1e6, text: digits },
  gzip: { title: "file after gzip, MB", of: (model) => model.gzip_bytes / 1e6, text: digits },
  macs: { title: "multiply-accumulates, M", of: (model) => model.macs / 1e6, text: digits },
  parameters: { title: "parameters, M", of: (model) => model.parameters / 1e6, text: digits },
  energy: { title: "energy, mJ", of: (model) => place(model)?.energy_mj, text: digits, local: true },
  memory: { title: "peak memory, MB", of: (model) => place(model)?.peak_rss_bytes / 1e6 || undefined, text: digits, local: true },
};
const GAINS = {
  top1: { title: "top-1, %", of: (model) => model.top1 && 100 * model.top1, text: (value) => value.toFixed(1) },
  top5: { title: "top-5, %", of: (model) => model.top5 && 100 * model.top5, text: (value) => value.toFixed(1) },
  agreement: { title: "same answer as float, %", of: (model) => model.agreement && 100 * model.agreement, text: (value) => value.toFixed(1) },
};
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#8c564b", "#5f6a74", "#e377c2"];
const SYMBOLS = { float32: "circle-open", float16: "diamond-open", dynamic: "square-open", int8: "circle", edgetpu: "star" };
const METHOD_NAMES = [...new Set(candidates.map((model) => model.method).filter(Boolean))].sort();
const DASHES = ["solid", "dash", "dashdot", "longdash"];
const FAMILIES = [...new Set(candidates.map((model) => model.arch))].sort();
const color = (arch) => COLORS[FAMILIES.indexOf(arch) % COLORS.length];

function fill(select, entries) {
  for (const [value, text] of entries) select.add(new Option(text, value));
}

/* A step where a point is higher than every cheaper one by more than two standard errors of their
   difference, as edgecv.tradeoff.front.certain_front; `open`: higher, but by less. */
function front(points) {
  const best = [], open = [];
  let highest = -Infinity;
  for (const point of [...points].sort((a, b) => a.x - b.x || b.y - a.y)) {
    const last = best.at(-1);
    if (!last || point.y - last.y > 2 * Math.hypot(point.error, last.error)) best.push(point);
    else if (point.y > highest) open.push(point);
    highest = Math.max(highest, point.y);
  }
  return { best, open };
}

/* Accuracies on different images do not compare: a front for every data set. */
function fronts(points) {
  return DATA_SETS.map((name) => ({ name, ...front(points.filter((each) => each.model.data_set === name)) }))
    .filter(({ best }) => best.length);
}

function shown() {
  const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const scheme = at("scheme").value, data = at("data-set").value;
  return candidates.filter((model) => {
    const text = `${model.name} ${model.arch} ${model.width} ${model.resolution} ${model.scheme} ${model.pruning} ${model.data_set}`.toLowerCase();
    return (!scheme || model.scheme === scheme) && (!data || model.data_set === data) && words.every((word) => text.includes(word));
  });
}

/* As edgecv.report.figures.standard_error: counted with one more hit and one more miss. */
function standardError(share, images) {
  const likely = (share * images + 1) / (images + 2);
  return Math.sqrt((likely * (1 - likely)) / images);
}

/* Models with both figures, those whose latency is not valid apart, and how many have none. */
function placed() {
  const across = COSTS[at("x").value], up = GAINS[at("y").value];
  const models = shown();
  const points = models
    .map((model) => ({ model, x: across.of(model), y: up.of(model), error: 100 * standardError(up.of(model) / 100, model.images) }))
    .filter((each) => Number.isFinite(each.x) && Number.isFinite(each.y));
  const valid = points.filter((each) => !across.local || place(each.model).valid);
  const invalid = points.filter((each) => !valid.includes(each));
  const lines = fronts(valid);
  return { across, up, models, valid, invalid, lines, best: lines.flatMap(({ best }) => best), open: lines.flatMap(({ open }) => open), missing: models.length - points.length };
}

/* The kind of pruning and the zeros that it left; channels that are gone leave none. */
function pruned({ pruning, sparsity }) {
  return pruning === "none" ? "" : pruning === "channels" ? pruning : `${pruning} ${percent(sparsity)} %`;
}

/* Plotly reads a little HTML in hover texts; names are the user's. */
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

function hover({ model }) {
  const latency = place(model);
  const lines = [`<b>${plain(model.name)}</b>`, `${plain(model.arch)} ${model.width}, ${model.resolution} px`];
  if (model.top1 !== undefined) lines.push(`top-1 ${percent(model.top1)} ± ${percent(2 * model.error)} % of ${model.images} images of ${plain(model.data)}`);
  if (latency) lines.push(`${digits(latency.ms)} ms (${digits(latency.low_ms)} to ${digits(latency.high_ms)}), ${plain(latency.origin)}`);
  if (latency && !latency.valid) lines.push(`not valid: ${plain(latency.reason)}`);
  lines.push(`${digits(model.bytes / 1e6)} MB, ${digits(model.macs / 1e6)} M multiply-accumulates`);
  if (model.method) lines.push(`ranges: ${plain(model.method)}`);
  if (model.pruning !== "none") lines.push(`pruned: ${plain(pruned(model))}`);
  return lines.join("<br>");
}

function trace(points, name, marker, more = {}) {
  return {
    x: points.map((each) => each.x), y: points.map((each) => each.y), name, mode: "markers",
    text: points.map(hover), hovertemplate: "%{text}<extra></extra>",
    customdata: points.map((each) => each.model.link), marker: { size: 10, ...marker }, ...more,
  };
}

/* Two standard errors to both sides. */
const errorBars = (points) => ({ error_y: { type: "data", array: points.map((each) => 2 * each.error), thickness: 1, width: 2, color: "rgba(128,128,128,0.6)" } });

/* A logarithmic axis where a linear one would press most points against its left end. */
const kind = (points) => (Math.max(...points.map((each) => each.x)) > 20 * Math.min(...points.map((each) => each.x)) ? "log" : "linear");

/* On a phone, the legend goes below: beside the points, it would leave them no room. */
const NARROW = matchMedia("(max-width: 40rem)");
const legend = () => ({ itemsizing: "constant", ...(NARROW.matches ? { orientation: "h", y: -0.2, yanchor: "top" } : {}) });

const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/* A page of paper is narrower than the window, and nobody tells a chart in time. */
const PAPER = 680;
function resize(width) {
  for (const chart of document.querySelectorAll(".chart")) if (chart.data) Plotly.relayout(chart, width ? { width } : { width: null, autosize: true });
}

function layout(across, up, type = "linear") {
  const [ink, line, card] = ["--ink", "--line", "--card"].map(property);
  const axis = { gridcolor: line, zeroline: false, linecolor: line, automargin: true };
  return {
    paper_bgcolor: card, plot_bgcolor: card, margin: { l: 56, r: 16, t: 44, b: 56 }, hovermode: "closest", showlegend: true,
    font: { family: "system-ui, sans-serif", size: 13, color: ink }, legend: legend(),
    hoverlabel: { bgcolor: card, bordercolor: line, font: { color: ink }, align: "left" },
    xaxis: { ...axis, type, title: { text: across, standoff: 12 } }, yaxis: { ...axis, title: { text: up } },
  };
}

const QUIET = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function draw() {
  const { across, up, valid, invalid, lines, best, open, missing } = placed();
  at("said").textContent = `${valid.length} models, ${best.length} of them on ${lines.length > 1 ? `${lines.length} fronts, one for each data set` : "the front"}`
    + (open.length ? `, ${open.length} above it within the error` : "") + (invalid.length ? `; ${invalid.length} not valid` : "") + (missing ? `; ${missing} without these figures` : "")
    + ". Open symbols are float; click one to open its run.";
  if (!window.Plotly) return;
  const traces = FAMILIES.map((arch) => {
    const points = valid.filter((each) => each.model.arch === arch);
    const symbol = points.map((each) => SYMBOLS[each.model.scheme] ?? "circle");
    return trace(points, plain(arch), { color: color(arch), symbol }, errorBars(points));
  }).filter((each) => each.x.length);
  for (const { name, best: line } of lines) traces.push({ x: line.map((each) => each.x), y: line.map((each) => each.y),
    name: lines.length > 1 ? `front, ${plain(name)}` : "front", mode: "lines", line: { shape: "hv", width: 2, dash: "dot", color: property("--ink") }, hoverinfo: "skip" });
  if (invalid.length) traces.push(trace(invalid, "not valid", { color: invalid.map((each) => color(each.model.arch)), symbol: "x-thin-open", size: 9, line: { width: 2 } }));
  const chart = at("chart");
  Plotly.react(chart, traces, layout(across.title, up.title, kind(valid)), QUIET);
  chart.removeAllListeners("plotly_click");
  chart.on("plotly_click", ({ points: [first] }) => first.customdata && window.open(first.customdata));
}

const COLUMNS = [
  { name: "", of: (model, marks) => marks.get(model) ?? "", order: (model, marks) => "◆◇".indexOf(marks.get(model) ?? " ") + 3 * !marks.has(model) },
  { name: "run", of: (model) => model.name.slice(0, -model.scheme.length - 1), link: true },
  { name: "family", of: (model) => model.arch },
  { name: "width", of: (model) => model.width, number: true },
  { name: "px", of: (model) => model.resolution, number: true },
  { name: "scheme", of: (model) => model.scheme },
  ...(METHOD_NAMES.length > 1 ? [{ name: "ranges", of: (model) => model.method ?? "" }] : []),
  { name: "pruning", of: (model) => pruned(model), order: (model) => model.sparsity },
  ...(DATA_SETS.length > 1 ? [{ name: "data", of: (model) => model.data_set }] : []),
  { name: "top-1, %", of: (model) => (model.top1 === undefined ? "" : `${percent(model.top1)} ± ${percent(model.error)}`), order: (model) => model.top1, number: true },
  { name: "p50, ms", of: (model) => (place(model) ? digits(place(model).ms) + (place(model).valid ? "" : " ✗") : ""), order: (model) => place(model)?.ms, number: true },
  { name: "MB", of: (model) => digits(model.bytes / 1e6), order: (model) => model.bytes, number: true },
  { name: "MMACs", of: (model) => digits(model.macs / 1e6), order: (model) => model.macs, number: true },
];
const sorted = { column: COLUMNS.find((each) => each.name === "top-1, %"), down: true };

function compare(best) {
  const key = sorted.column.order ?? sorted.column.of;
  const sign = sorted.down ? -1 : 1;
  return (a, b) => {
    const [one, other] = [key(a, best), key(b, best)];
    if (one === undefined || other === undefined) return (one === undefined) - (other === undefined);
    return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
  };
}

function cell(row, tag, text, column) {
  const made = row.appendChild(document.createElement(tag));
  made.textContent = text;
  if (column?.number) made.className = "n";
  return made;
}

function list() {
  const { models, invalid, best, open } = placed();
  const marks = new Map([...open.map(({ model }) => [model, "◇"]), ...best.map(({ model }) => [model, "◆"])]);
  at("count").textContent = models.length === candidates.length ? `${models.length}` : `${models.length} of ${candidates.length}`;
  const rows = [...models].sort(compare(marks)).map((model) => {
    const row = document.createElement("tr");
    row.className = marks.get(model) === "◆" ? "front" : "";
    for (const column of COLUMNS) {
      const linked = column.link && model.link;
      const made = cell(row, "td", linked ? "" : column.of(model, marks), column);
      if (linked) {
        const link = made.appendChild(document.createElement("a"));
        link.href = model.link;
        link.textContent = column.of(model);
      }
    }
    return row;
  });
  at("models").tBodies[0].replaceChildren(...rows);
  at("apart").hidden = !invalid.length;
  at("apart").querySelector("tbody").replaceChildren(...invalid.map(({ model }) => {
    const row = document.createElement("tr");
    cell(row, "th", model.name);
    cell(row, "td", digits(place(model).ms), { number: true });
    cell(row, "td", place(model).reason);
    return row;
  }));
}

function head() {
  const row = at("models").tHead.insertRow();
  for (const column of COLUMNS) {
    const made = cell(row, "th", "", column);
    made.scope = "col";
    const button = made.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = column.name || "◆";
    button.title = column.name ? `sort by ${column.name}` : "on the front first";
    button.addEventListener("click", () => {
      sorted.down = sorted.column === column ? !sorted.down : Boolean(column.number);
      sorted.column = column;
      mark();
      list();
    });
  }
  mark();
}

function mark() {
  [...at("models").tHead.rows[0].cells].forEach((made, index) => {
    if (COLUMNS[index] === sorted.column) made.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    else made.removeAttribute("aria-sort");
  });
}

/* A line for each family at each value of what is held: top-1 over width, or over resolution. */
function curves() {
  if (!window.Plotly) return;
  const over = at("over").value, held = over === "width" ? "resolution" : "width";
  const models = shown().filter((model) => model.top1 !== undefined && model.pruning === "none");
  const groups = new Map();
  for (const model of models) {
    const key = `${model.arch}, ${held} ${model[held]}, ${model.scheme}${METHOD_NAMES.length > 1 && model.method ? ` ${model.method}` : ""}${DATA_SETS.length > 1 ? `, ${model.data_set}` : ""}`;
    groups.set(key, [...(groups.get(key) ?? []), model]);
  }
  const traces = [...groups].filter(([, group]) => new Set(group.map((model) => model[over])).size > 1).map(([name, group]) => {
    const best = new Map(group.sort((a, b) => a.top1 - b.top1).map((model) => [model[over], model]));
    const points = [...best.values()].sort((a, b) => a[over] - b[over]).map((model) => ({ model, x: model[over], y: 100 * model.top1, error: 100 * model.error }));
    const [{ arch, scheme, method }] = group;
    return trace(points, plain(name), { color: color(arch), symbol: SYMBOLS[scheme] ?? "circle", size: 8 },
      { ...errorBars(points), mode: "lines+markers", line: { color: color(arch), width: 1.5, dash: scheme === "float32" ? "dot" : DASHES[Math.max(0, METHOD_NAMES.indexOf(method)) % DASHES.length] } });
  });
  Plotly.react(at("curves"), traces, { ...layout(over === "width" ? "width multiplier" : "resolution, px", "top-1, %"),
    showlegend: !NARROW.matches, annotations: traces.length ? [] : [{ text: `no family has more than one ${over} here`, showarrow: false }] }, QUIET);
}

function update() {
  draw();
  list();
  curves();
}

async function unpack() {
  const { body } = await fetch(`data:;base64,${at("plotly").textContent.trim()}`);
  const stream = body.pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  at("plotly").remove();
}

function start() {
  const places = new Map();
  for (const model of candidates) for (const each of model.latencies) places.set(each.where, (places.get(each.where) ?? 0) + 1);
  fill(at("where"), [...places].sort((a, b) => b[1] - a[1]).map(([where]) => [where, where]));
  const has = ([, axis]) => candidates.some((model) => Number.isFinite(axis.of(model)));
  fill(at("x"), Object.entries(COSTS).filter(([name, axis]) => (axis.local && name !== "energy" ? places.size : has([name, axis]))).map(([name, axis]) => [name, axis.title]));
  fill(at("y"), Object.entries(GAINS).filter(has).map(([name, axis]) => [name, axis.title]));
  if (!at("y").options.length) fill(at("y"), [["top1", GAINS.top1.title]]);
  fill(at("scheme"), [["", "all"], ...[...new Set(candidates.map((model) => model.scheme))].sort().map((each) => [each, each])]);
  fill(at("data-set"), [["", "all"], ...DATA_SETS.map((each) => [each, each])]);
  head();
  for (const id of ["x", "y", "where", "data-set", "scheme", "filter"]) at(id).addEventListener("input", update);
  at("over").addEventListener("input", curves);
  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeprint", () => resize(PAPER));
  addEventListener("afterprint", () => resize(0));
  for (const media of [matchMedia("(prefers-color-scheme: dark)"), NARROW]) media.addEventListener("change", update);
  update();
  unpack().then(update, () => { at("said").textContent = "This browser cannot unpack the chart; the tables are complete."; })
    .finally(() => {
      document.documentElement.dataset.ready = Math.round(performance.now());
    });
}

start();
