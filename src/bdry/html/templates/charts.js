"use strict";

// --- curves by uPlot: values under the pointer; zoom by dragging, by buttons and by keys; colours of the theme

const HEIGHT = 240, MOST_POINTS = 40;
const SCALES = { linear: 1, log: 3, arcsinh: 4 };
const dark = matchMedia("(prefers-color-scheme: dark)");

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const short = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(3))));
const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const within = (curve, at) => (curve.low?.[at] == null || curve.low[at] === curve.high[at] ? "" : ` [${short(curve.low[at])}, ${short(curve.high[at])}]`);

// A panel: what figures/traces.py says. A curve may also have `words(at)`, said after its value, and `hollow`, whether each
// of its points is.
function chart(panel) {
  const all = new Set(panel.curves.flatMap((curve) => curve.x.filter((x) => x !== null && (panel.x_scale !== "log" || x > 0))));
  const xs = [...all].sort((a, b) => a - b);
  // where each curve has a value of x
  const places = panel.curves.map((curve) => new Map(curve.x.map((x, at) => [x, at])));
  const place = element("div", { class: "plot", tabindex: "0", role: "group", "aria-label": sentence(panel) });
  const figure = element("div", { class: "chart" }, element("p", { class: "name" }, [panel.title, panel.y].filter(Boolean).join(": ")), place);
  let plot = null;

  function draw() {
    plot?.destroy();
    plot = new uPlot(options(panel, places, xs, place.clientWidth), columns(panel, places, xs), place);
    plot.root.querySelectorAll(".u-series th").forEach((label) => label.setAttribute("scope", "row"));
  }

  function zoom(factor) {
    const wide = plot.over.clientWidth, centre = plot.cursor.left >= 0 ? plot.cursor.left : wide / 2;
    const ends = [centre * (1 - factor), centre + (wide - centre) * factor].map((at) => plot.posToVal(at, "x"));
    plot.setScale("x", { min: Math.max(ends[0], xs[0]), max: Math.min(ends[1], xs.at(-1)) });
  }

  function whole() {
    plot.setScale("x", { min: xs[0], max: xs.at(-1) });
  }

  function step(by) {
    const at = Math.min(Math.max((plot.cursor.idx ?? (by > 0 ? -1 : xs.length)) + by, 0), xs.length - 1);
    plot.setCursor({ left: plot.valToPos(xs[at], "x"), top: plot.over.clientHeight / 2 });
  }

  const keys = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), "+": () => zoom(0.5), "-": () => zoom(2), 0: whole };
  place.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  const buttons = [["zoom in", () => zoom(0.5)], ["zoom out", () => zoom(2)], ["whole", whole]].map(([words, act]) => {
    const button = element("button", { type: "button", "aria-label": `${words}: ${panel.title || panel.y}` }, words);
    button.addEventListener("click", act);
    return button;
  });
  if (xs.length > 2) figure.append(element("p", { class: "buttons" }, ...buttons));
  new ResizeObserver(() => {
    if (!place.isConnected || !place.clientWidth) return;
    if (plot === null) draw();
    else plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }).observe(place);
  place.addEventListener("theme", draw);
  return figure;
}

dark.addEventListener("change", () => document.querySelectorAll(".uplot").forEach((plot) => plot.parentElement.dispatchEvent(new Event("theme"))));

function columns(panel, places, xs) {
  const possible = (value) => (value === null || (panel.y_scale === "log" && value <= 0) ? null : value);
  const found = [xs];
  panel.curves.forEach((curve, number) => {
    const at = xs.map((x) => places[number].get(x));
    const column = (values) => at.map((place) => (place === undefined ? null : possible(values[place])));
    found.push(column(curve.value));
    if (curve.low) found.push(column(curve.low), column(curve.high));
    if (curve.hollow) found.push(at.map((place) => (place !== undefined && curve.hollow[place] ? possible(curve.value[place]) : null)));
  });
  return found;
}

function options(panel, places, xs, width) {
  const series = [{ label: panel.x || "x", value: (_, x) => short(x) }], bands = [];
  panel.curves.forEach((curve, number) => {
    const stroke = themed(curve.colour === null ? "--soft" : `--c${curve.colour}`);
    const said = (_, value, __, at) => {
      const place = at === null ? undefined : places[number].get(xs[at]);
      return place === undefined || value === null ? "–" : short(value) + within(curve, place) + (curve.words?.(place) ?? "");
    };
    const points = { show: curve.dash === null || curve.x.length <= MOST_POINTS, size: 6, fill: stroke };
    const style = curve.dash === null ? { paths: () => null } : { dash: curve.dash };
    series.push({ label: curve.name, stroke, width: 2, spanGaps: true, points, value: said, ...style });
    const silent = { class: "silent", label: "", width: 0, spanGaps: true, points: { show: false } };
    if (curve.low) {
      bands.push({ series: [series.length + 1, series.length], fill: stroke + "33" });
      series.push(silent, silent);
    }
    if (curve.hollow) {
      const hollow = { show: true, size: 7, width: 2, stroke, fill: themed("--ground") };
      series.push({ ...silent, stroke, paths: () => null, points: hollow });
    }
  });
  const axis = { stroke: themed("--soft"), grid: { stroke: themed("--line"), width: 1 }, ticks: { stroke: themed("--line") }, font: "12px system-ui, sans-serif" };
  const numbers = (_, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick)));
  const shared = { distr: SCALES[panel.y_scale], asinh: panel.y_linear ?? 1 };
  // all of the curves as figures draw them; a part of them as high as it is
  const isWhole = ({ scales: { x } }) => x.min == null || (x.min <= xs[0] && x.max >= xs.at(-1));
  const part = { linear: (low, high) => uPlot.rangeNum(low, high, 0.1, true), log: (low, high) => uPlot.rangeLog(low, high, 10, false), arcsinh: (low, high) => uPlot.rangeAsinh(low, high, 10, true) };
  const y = { ...shared, range: (plot, low, high) => (isWhole(plot) || low === null ? [panel.low, panel.high] : part[panel.y_scale](low, high)) };
  const x = { time: false, distr: SCALES[panel.x_scale], asinh: panel.x_linear ?? 1, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) };
  const ticks = (scale, linear) => (scale === "linear" ? {} : { splits: (_, __, low, high) => decades(low, high, scale === "log" ? 0 : linear) });
  // where nobody points, the values at the last x
  const atTheEnd = (plot) => { if (plot.cursor.idx == null) plot.setLegend({ idx: xs.length - 1 }, false); };
  return {
    width, height: HEIGHT, series, bands, scales: { x, y }, padding: [10, 12, 0, 0],
    axes: [
      { ...axis, ...ticks(panel.x_scale, panel.x_linear), values: numbers, filter: readable, label: panel.x, labelSize: 22, labelFont: axis.font, size: 34 },
      { ...axis, ...ticks(panel.y_scale, panel.y_linear), values: numbers, size: 58 },
    ],
    cursor: { drag: { x: true, y: false }, points: { size: 8 } },
    hooks: { ready: [atTheEnd], setCursor: [atTheEnd] },
    legend: { markers: { width: 2, dash: (_, number) => (series[number].dash?.length ? "dashed" : "solid") } },
  };
}

// The ticks of a logarithmic axis from low to high, linear between -linear and linear: multiples of powers of ten, or even
// ones where there are too few. uPlot's own begin at the axis' end, and do not stop where that is just below a power of ten.
function decades(low, high, linear) {
  const ticks = low <= 0 && high >= 0 ? [0] : [];
  for (const sign of [-1, 1]) {
    const [near, far] = sign > 0 ? [Math.max(low, linear), high] : [Math.max(-high, linear), -low];
    if (!(near > 0 && far >= near)) continue;
    for (let power = Math.floor(Math.log10(near)); power <= Math.log10(far); power++) {
      for (let digit = 1; digit < 10; digit++) {
        const tick = Number(`${digit}e${power}`);
        if (tick >= near && tick <= far) ticks.push(sign * tick);
      }
    }
  }
  if (ticks.length < 3 && high > low) {
    const decade = 10 ** Math.floor(Math.log10(high - low)), step = [0.2, 0.5, 1, 2].find((part) => (high - low) / (part * decade) <= 6) * decade;
    for (let number = Math.ceil(low / step); number * step <= high; number++) ticks.push(Number((number * step).toPrecision(9)));
  }
  return [...new Set(ticks)].sort((a, b) => a - b);
}

// Of the ticks of an x axis those that have room for their numbers, powers of ten first.
function readable(plot, ticks) {
  const kept = [], room = 30;
  const isRound = (tick) => tick === 0 || Math.abs(Math.log10(Math.abs(tick)) % 1) < 1e-6;
  for (const tick of [...ticks.filter(isRound), ...ticks]) {
    const at = plot.valToPos(tick, "x");
    if (kept.every((other) => Math.abs(plot.valToPos(other, "x") - at) >= room)) kept.push(tick);
  }
  return ticks.map((tick) => (kept.includes(tick) ? tick : null));
}

function sentence(panel) {
  const curves = panel.curves.map((curve) => {
    const found = curve.value.filter((value) => value !== null);
    return found.length ? `${curve.name}: from ${short(found[0])} to ${short(found.at(-1))}, largest ${short(Math.max(...found))}` : `${curve.name}: none found`;
  });
  return `${[panel.title, panel.y].filter(Boolean).join(", ")} over ${panel.x}; ${curves.join("; ")}. Arrow keys read values, + and − zoom, 0 shows all.`;
}

function table(label, headings, rows, kind = "") {
  const top = element("tr", { role: "row" }, ...headings.map((heading) => element("th", { scope: "col", role: "columnheader" }, heading)));
  const cell = (content, column) => element("td", { role: "cell", "data-label": headings[column] }, content instanceof Node ? content : String(content));
  const body = rows.map((row) => element("tr", { role: "row" }, ...row.map(cell)));
  const made = element("table", { class: kind, role: "table" }, element("thead", { role: "rowgroup" }, top), element("tbody", { role: "rowgroup" }, ...body));
  return element("div", { class: "box", role: "region", tabindex: "0", "aria-label": label }, made);
}

function inNumbers(panel) {
  const xs = [...new Set(panel.curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const rows = xs.map((x) => [short(x), ...panel.curves.map((curve) => {
    const at = curve.x.indexOf(x);
    return at < 0 ? "–" : short(curve.value[at]) + within(curve, at);
  })]);
  return table(`${panel.title} ${panel.y}`, [panel.x, ...panel.curves.map((curve) => curve.name)], rows);
}

// Figures of curves: the picture as it is printed goes behind a line to open.
for (const holder of document.querySelectorAll("script.curves")) {
  const panels = JSON.parse(holder.textContent);
  const place = element("div", { class: "charts" }), printed = holder.nextElementSibling;
  const numbers = element("details", {}, element("summary", {}, "The same in numbers"));
  numbers.addEventListener("toggle", () => numbers.append(...panels.map(inNumbers)), { once: true });
  const picture = element("details", {}, element("summary", {}, "As it is printed"));
  printed.replaceWith(place, numbers, picture);
  picture.append(printed);
  place.style.minHeight = `${HEIGHT * (place.clientWidth > 700 ? Math.ceil(panels.length / 2) : panels.length)}px`;
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    place.append(...panels.map(chart));
    place.style.minHeight = "";
  }, { rootMargin: "600px" }).observe(place);
}

// On paper the pictures are shown: a panel that nobody has scrolled to is not drawn.
addEventListener("beforeprint", () => document.querySelectorAll("details:has(.paper)").forEach((details) => { details.open = true; }));

// Other pictures are as wide as the window: a button shows them as large as they were drawn.
for (const box of document.querySelectorAll(".paper")) {
  const button = element("button", { type: "button", class: "enlarge", "aria-pressed": "false" }, "full size");
  button.addEventListener("click", () => button.setAttribute("aria-pressed", String(box.classList.toggle("large"))));
  box.after(button);
}

