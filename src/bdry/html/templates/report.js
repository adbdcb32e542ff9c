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
  if (image.series.length) parts.push(...charts(run, image), momentsTable(run, image));
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

// a panel a norm and box, a curve an estimator; the steps on a logarithmic scale that has a 0

function charts(run, image) {
  const panels = new Map();
  for (const series of image.series) panels.set(where(series), [...(panels.get(where(series)) ?? []), series]);
  const estimators = [...new Set(image.series.map((series) => series.estimator))].sort();
  const steps = run.moments.map(([step]) => step);
  const drawn = [...panels].map(([title, found]) => {
    const curves = found.map((series) => ({
      name: series.estimator, x: steps, value: series.margin, dash: [], colour: estimators.indexOf(series.estimator) % 6,
      hollow: image.predicted.map((label) => label !== image.label),
      words: (moment) => `, to class ${className(run, series.boundary_class[moment])}`,
    }));
    const high = 1.05 * Math.max(...curves.flatMap((curve) => curve.value.map((value) => value ?? 0))) || 1;
    return chart({ title, y: "margin (pixel units of [0, 1])", y_scale: "linear", low: 0, high, x: "optimiser steps", x_scale: "arcsinh", x_linear: 1, curves });
  });
  const note = element("p", { class: "note" }, "Hollow: the image is misclassified at that moment.");
  return [element("div", { class: "charts" }, ...drawn), note];
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

// --- boundary points and instances

function nearest(run, image) {
  const kept = image.nearest.some((row) => row.point);
  const picture = (row) => (row.point ? pair(row, `${row.estimator}, ${where(row)}`) : "not kept");
  const rows = image.nearest.map((row) => [
    where(row), row.estimator, row.step, short(row.margin), short(row.ratio), className(run, row.boundary_class),
    ...(kept ? [picture(row)] : []),
  ]);
  const headings = ["norm", "estimator", "step", "margin", "÷ smallest found", "class beyond"];
  if (kept) headings.push("point, and its difference from the image");
  return [table("nearest boundary points", headings, rows, "cards fitted"), differences(image.nearest)];
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
