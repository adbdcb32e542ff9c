"use strict";

// --- tables: a click on a heading sorts by its column

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => compare(a.cells[column], b.cells[column]));
      if (descending) rows.reverse();
      body.append(...rows);
    });
  });
}

function compare(a, b) {
  const [x, y] = [a, b].map((cell) => (cell.dataset.value === undefined ? NaN : Number(cell.dataset.value)));
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? -1 : 1;
  return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
}

// --- the image explorer

const NORMS = { l2: "ℓ2", linf: "ℓ∞" };
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 420, HEIGHT = 240, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 40;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const short = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(3))));
const where = (row) => `${NORMS[row.norm] ?? row.norm}${row.clipped ? ", inside the box" : ""}`;
const last = (values) => values.findLast((value) => value !== null) ?? null;

const holder = document.getElementById("explorer-data");
if (holder) explore(JSON.parse(holder.textContent));

function explore(data) {
  const select = document.getElementById("explorer-run");
  const images = document.getElementById("explorer-images");
  const detail = document.getElementById("explorer-detail");
  const status = document.getElementById("explorer-status");
  data.runs.forEach((run, number) => select.append(element("option", { value: number }, run.title)));
  // two runs of one title differ in their settings: the name tells them apart
  const titles = data.runs.map((run) => run.title);
  data.runs.forEach((run, number) => {
    if (titles.indexOf(run.title) !== titles.lastIndexOf(run.title)) select.options[number].append(` (${run.name})`);
  });
  let chosen = null;

  function offer(run) {
    images.querySelectorAll("label").forEach((label) => label.remove());
    const position = Math.max(run.images.findIndex((image) => name(image) === chosen), 0);
    run.images.forEach((image, number) => {
      const input = element("input", { type: "radio", name: "explorer-image", value: number });
      input.checked = number === position;
      input.addEventListener("change", () => show(run, image, true));
      images.append(element("label", {}, input, thumbnail(data, run, image, "pixels"), `${image.split} ${image.index}`));
    });
    show(run, run.images[position], false);
  }

  function show(run, image, aloud) {
    chosen = name(image);
    detail.replaceChildren(...described(data, run, image));
    if (aloud) status.textContent = `showing ${chosen}`;
  }

  select.addEventListener("change", () => offer(data.runs[Number(select.value)]));
  document.getElementById("explorer-app").hidden = false;
  offer(data.runs[0]);
}

function name(image) {
  return `${image.split} image ${image.index}`;
}

function className(run, label) {
  if (label === null || label === undefined || label < 0) return "–";
  const known = run.classes[label];
  return known === undefined || known === String(label) ? String(label) : `${label} (${known})`;
}

function thumbnail(data, run, image, classes) {
  const source = data.pictures[image.picture];
  const words = `${name(image)}, class ${className(run, image.label)}`;
  if (source === undefined) return element("span", { class: "nothing", role: "img", "aria-label": words }, String(image.label));
  return element("img", { class: classes, src: source, alt: words });
}

function described(data, run, image) {
  const parts = [head(data, run, image)];
  parts.push(element("h4", {}, "Margins over training"));
  if (image.series.length) parts.push(charts(run, image), momentsTable(run, image));
  else parts.push(element("p", { class: "note" }, "No margins of this image were measured."));
  if (image.nearest.length) parts.push(element("h4", {}, "Nearest boundary point by each estimator"), ...nearest(run, image));
  if (image.instances.length) parts.push(element("h4", {}, "Borderline instances (DeepDIG and its baselines)"), ...instances(run, image));
  return parts;
}

function head(data, run, image) {
  const predicted = last(image.predicted), confidence = last(image.confidence);
  const words = predicted === null ? "" : ` At the last moment predicted ${className(run, predicted)}, confidence ${short(confidence)}.`;
  const text = element("div", {}, element("h3", {}, name(image)), element("p", {}, `Class ${className(run, image.label)}.${words}`));
  const large = data.pictures[image.picture] === undefined ? [] : [thumbnail(data, run, image, "pixels large")];
  return element("div", { class: "head" }, ...large, text);
}

// --- charts: a panel a norm and box, a curve an estimator; the steps on a logarithmic scale that has a 0

function charts(run, image) {
  const panels = new Map();
  for (const series of image.series) panels.set(where(series), [...(panels.get(where(series)) ?? []), series]);
  const estimators = [...new Set(image.series.map((series) => series.estimator))].sort();
  return element("div", { class: "charts" }, ...[...panels].map(([title, curves]) => chart(run, image, title, curves, estimators)));
}

function chart(run, image, title, curves, estimators) {
  const steps = run.moments.map(([step]) => step);
  const end = Math.log1p(Math.max(...steps, 1));
  const largest = Math.max(...curves.flatMap((series) => series.margin.map((value) => value ?? 0))) || 1;
  const [top, ticks] = rounded(largest);
  const x = (step) => LEFT + (WIDTH - LEFT - RIGHT) * (Math.log1p(step) / end);
  const y = (margin) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (margin / top);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary(run, title, curves) });
  for (const tick of ticks) {
    svg.append(drawn("path", { class: "axis", d: `M${LEFT} ${y(tick)}H${WIDTH - RIGHT}` }));
    svg.append(drawn("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (let step = 0; step <= Math.max(...steps); step = step ? step * 10 : 1) {
    svg.append(drawn("text", { x: x(step), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, String(step)));
  }
  svg.append(drawn("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "optimiser steps"));
  for (const series of curves) {
    const colour = `k${estimators.indexOf(series.estimator) % 6}`;
    const found = steps.map((step, moment) => [x(step), series.margin[moment], moment]).filter(([, margin]) => margin !== null);
    const path = found.map(([at, margin], number) => `${number ? "L" : "M"}${at.toFixed(1)} ${y(margin).toFixed(1)}`).join("");
    svg.append(drawn("path", { class: `line ${colour}`, d: path }));
    for (const [at, margin, moment] of found) {
      const wrong = image.predicted[moment] !== image.label ? " wrong" : "";
      const words = `step ${steps[moment]}: ${short(margin)} by ${series.estimator}, to class ${className(run, series.boundary_class[moment])}`;
      svg.append(drawn("circle", { class: `dot ${colour}${wrong}`, cx: at.toFixed(1), cy: y(margin).toFixed(1), r: 3.5 }, drawn("title", {}, words)));
    }
  }
  const caption = `${title} margin, pixel units of [0, 1]. Hollow: the image is misclassified.`;
  return element("figure", {}, svg, key(curves, estimators), element("figcaption", {}, caption));
}

function key(curves, estimators) {
  const entries = curves.map((series) => {
    const sample = drawn("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" });
    sample.append(drawn("path", { class: `line k${estimators.indexOf(series.estimator) % 6}`, d: "M0 6H24" }));
    return element("li", {}, sample, series.estimator);
  });
  return element("ul", { class: "key" }, ...entries);
}

function rounded(largest) {
  const unit = 10 ** Math.floor(Math.log10(largest));
  const step = [0.2, 0.5, 1, 2].map((factor) => factor * unit).find((size) => largest / size <= 6);
  const count = Math.ceil(largest / step - 1e-9);
  return [count * step, Array.from({ length: count + 1 }, (_, number) => Number((number * step).toPrecision(6)))];
}

function summary(run, title, curves) {
  const sentences = curves.map((series) => {
    const found = series.margin.filter((margin) => margin !== null);
    if (!found.length) return `${series.estimator}: none found`;
    return `${series.estimator}: from ${short(found[0])} to ${short(found.at(-1))}, largest ${short(Math.max(...found))}`;
  });
  return `${title} margin over ${run.moments.length} moments; ${sentences.join("; ")}`;
}

function momentsTable(run, image) {
  const headings = ["step", "epoch", "predicted", "confidence"];
  for (const series of image.series) headings.push(`${where(series)}, ${series.estimator}`, "class beyond");
  const rows = run.moments.map(([step, epoch], moment) => {
    const cells = [step, short(epoch), className(run, image.predicted[moment]), short(image.confidence[moment])];
    for (const series of image.series) cells.push(short(series.margin[moment]), className(run, series.boundary_class[moment]));
    return cells;
  });
  return element("details", {}, element("summary", {}, "The same in numbers"), table("margins over training", headings, rows));
}

function table(label, headings, rows) {
  const top = element("tr", {}, ...headings.map((heading) => element("th", { scope: "col" }, heading)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell instanceof Node ? cell : String(cell)))));
  const made = element("table", {}, element("thead", {}, top), element("tbody", {}, ...body));
  return element("div", { class: "box", role: "region", tabindex: "0", "aria-label": label }, made);
}

// --- boundary points and instances

function nearest(run, image) {
  const rows = image.nearest.map((row) => [
    where(row), row.estimator, row.step, short(row.margin), short(row.ratio), className(run, row.boundary_class),
    ...(row.point ? [pair(row, `${row.estimator}, ${where(row)}`)] : ["not kept"]),
  ]);
  const headings = ["norm", "estimator", "step", "margin", "÷ smallest found", "class beyond", "point, and its difference from the image"];
  return [table("nearest boundary points", headings, rows), differences(image.nearest)];
}

function instances(run, image) {
  const cards = image.instances.map((row) => {
    const words = `${row.method}, to class ${className(run, row.target)}: distance ${short(row.distance)}, `
      + `p ${short(row.p_source)} and ${short(row.p_target)} after ${row.attempts} midpoints`;
    return element("li", {}, ...(row.point ? [pair(row, words)] : []), words);
  });
  const further = image.further_instances ? ` The nearest ${image.instances.length}; ${image.further_instances} further ones are left out.` : "";
  const text = `Generated from this image; distance: ℓ2, pixel units of [0, 1].${further}`;
  return [element("p", { class: "caption" }, text), element("ul", { class: "cards" }, ...cards), differences(image.instances)];
}

function pair(row, words) {
  const pictures = [element("img", { class: "pixels large", src: row.point, alt: `boundary point: ${words}` })];
  if (row.difference) pictures.push(element("img", { class: "pixels large", src: row.difference, alt: `its difference from the image: ${words}` }));
  return element("div", { class: "pair" }, ...pictures);
}

function differences(rows) {
  const shown = rows.some((row) => row.difference);
  return element("p", { class: "caption" }, shown ? "Differences: grey is no change, black and white the largest change of a pixel in that picture." : "");
}
