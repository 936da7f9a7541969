"use strict";
const study = JSON.parse(document.getElementById("data").textContent);
const COLOURS = { COMPLETE: "#2f6db5", PRUNED: "#e07b39", FAIL: "#b5485d", RUNNING: "#8a8f98" };
const WORDS = { COMPLETE: "complete", PRUNED: "stopped early", FAIL: "failed", RUNNING: "in work" };
const BEST = "#2a9d55", CHOSEN = "#d6246e", GREY = "#8a8f98";
const complete = study.trials.filter(trial => trial.value !== null);
const main = document.getElementById("main"), tip = document.getElementById("tip");
const plots = [];
let chosen = null;

const short = value => value === null || value === undefined ? "-" : String(+value.toPrecision(5));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const spread = number => ((number * 0.618034) % 1 - 0.5) * 0.04; // trials with the same choice lie a little apart

function element(parent, tag, text, attributes = {}) {
  const made = parent.appendChild(document.createElement(tag));
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function ticksOf(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(candidate => candidate >= rough);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) ticks.push(at * step);
  return ticks;
}

function describe(trial) {
  const lines = [`trial ${trial.number}  ${WORDS[trial.state]}` + (trial.number === study.best ? "  (best)" : "")];
  if (trial.value !== null) lines.push(`score ${short(trial.value)}`);
  if (trial.means.length) lines.push(`mean of ${trial.means.length} folds ${short(trial.means.at(-1))}`);
  if (trial.seconds !== null) lines.push(`${short(trial.seconds)} s`);
  if (trial.remark) lines.push(trial.remark.slice(0, 300));
  study.axes.forEach((axis, place) => { if (trial.params[place] !== "") lines.push(`${axis.key} = ${trial.params[place].slice(0, 120)}`); });
  return lines.join("\n");
}

function choose(number) {
  chosen = chosen === number ? null : number;
  plots.forEach(plot => plot.draw());
  document.querySelectorAll("tbody tr").forEach(row => row.classList.toggle("chosen", +row.dataset.trial === chosen));
}

class Plot {
  // paint(plot) draws; what a mouse can find is told by plot.spot(x, y, trial) in pixels.
  constructor(parent, height, margins, paint) {
    this.canvas = element(parent, "canvas");
    this.canvas.style.height = `${height}px`;
    Object.assign(this, { height, margins, paint });
    this.canvas.addEventListener("mousemove", event => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => { tip.style.display = "none"; });
    this.canvas.addEventListener("click", event => { const found = this.find(event); if (found) choose(found.trial.number); });
    plots.push(this);
    this.draw();
  }
  draw() {
    const ratio = window.devicePixelRatio || 1, width = this.canvas.clientWidth || 600;
    this.canvas.width = width * ratio; this.canvas.height = this.height * ratio;
    const [top, right, bottom, left] = this.margins;
    Object.assign(this, { left, top, right: width - right, bottom: this.height - bottom, spots: [] });
    const pen = this.pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    this.paint(this);
  }
  spot(x, y, trial) { this.spots.push({ x, y, trial }); }
  find(event) {
    let best = null, nearest = 12 ** 2;
    for (const spot of this.spots) {
      const distance = (spot.x - event.offsetX) ** 2 + (spot.y - event.offsetY) ** 2;
      if (distance < nearest) { nearest = distance; best = spot; }
    }
    return best;
  }
  hover(event) {
    const found = this.find(event);
    tip.style.display = found ? "block" : "none";
    if (!found) return;
    tip.textContent = describe(found.trial);
    tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
  }
  scale(low, high, from, to) { return value => from + (clamp(value, low, high) - low) / (high - low || 1) * (to - from); }
  text(words, x, y, align = "center", colour = "#555") {
    this.pen.fillStyle = colour; this.pen.textAlign = align; this.pen.textBaseline = "middle"; this.pen.fillText(words, x, y);
  }
  line(points, colour, width, alpha = 1) {
    const pen = this.pen;
    pen.globalAlpha = alpha; pen.strokeStyle = colour; pen.lineWidth = width; pen.beginPath();
    points.forEach(([x, y], place) => place ? pen.lineTo(x, y) : pen.moveTo(x, y));
    pen.stroke(); pen.globalAlpha = 1;
  }
  dot(x, y, trial, radius, alpha = 0.75) {
    const pen = this.pen, isChosen = trial.number === chosen, isBest = trial.number === study.best;
    pen.globalAlpha = isChosen || isBest ? 1 : alpha;
    pen.fillStyle = isChosen ? CHOSEN : isBest ? BEST : COLOURS[trial.state];
    pen.beginPath(); pen.arc(x, y, isChosen || isBest ? radius + 2.5 : radius, 0, 7); pen.fill(); pen.globalAlpha = 1;
    this.spot(x, y, trial);
  }
  frame(xTicks, yTicks, x, y, xLabel) {
    for (const value of yTicks) { this.line([[this.left, y(value)], [this.right, y(value)]], "#ddd", 0.6); this.text(short(value), this.left - 5, y(value), "right"); }
    for (const [value, label] of xTicks) { this.line([[x(value), this.bottom], [x(value), this.bottom + 4]], "#999", 0.8); this.text(label, x(value), this.bottom + 12, label.length < 5 ? "center" : value < 0.2 ? "left" : value > 0.8 ? "right" : "center"); }
    this.line([[this.left, this.top], [this.left, this.bottom], [this.right, this.bottom]], "#999", 0.8);
    if (xLabel) this.text(xLabel, (this.left + this.right) / 2, this.bottom + 27);
  }
}

const numbered = values => values.map(value => [value, short(value)]);
const small = () => study.trials.length > 400 ? 2 : 3.5;
const bestLast = trials => [...trials].sort((one, other) => (one.number === study.best) - (other.number === study.best) || (one.number === chosen) - (other.number === chosen));
function section(id, title, note) {
  const made = element(main, "section", undefined, { id });
  element(made, "h2", title);
  if (note) element(made, "p", note);
  return made;
}

function drawHistory() {
  const part = section("history", "History", "Score of each trial, in the order of proposal; the step line is the best so far. Dots at the edge lie beyond it, or ended before their first fold. A click marks a trial everywhere.");
  new Plot(part, 300, [10, 12, 38, 62], plot => {
    const [low, high] = study.range, last = Math.max(1, study.trials.length - 1);
    const x = plot.scale(0, last, plot.left + 6, plot.right), y = plot.scale(low, high, plot.bottom, plot.top);
    plot.frame(numbered(ticksOf(0, last, 10).filter(Number.isInteger)), ticksOf(low, high, 6), x, y, "trial");
    const steps = [];
    study.best_so_far.forEach(([number, score]) => { if (steps.length) steps.push([x(number), steps.at(-1)[1]]); steps.push([x(number), y(score)]); });
    if (steps.length) plot.line([...steps, [plot.right, steps.at(-1)[1]]], BEST, 1.6);
    for (const trial of bestLast(study.trials)) {
      const value = trial.value ?? (trial.state === "PRUNED" ? trial.means.at(-1) : undefined);
      plot.dot(x(trial.number), value === undefined ? plot.bottom : y(value), trial, small());
    }
  });
}

function drawTradeOff() {
  const part = section("trade-off", "Score against time", `On the line: the ${study.front.length} trials that no other one beats in both.`);
  const front = study.front.map(number => study.trials[number]).sort((one, other) => one.seconds_per_fold - other.seconds_per_fold);
  const high = Math.max(...complete.map(trial => trial.seconds_per_fold)) || 1;
  new Plot(part, 300, [10, 12, 38, 62], plot => {
    const x = plot.scale(0, high, plot.left + 6, plot.right - 6), y = plot.scale(...study.range, plot.bottom, plot.top);
    plot.frame(numbered(ticksOf(0, high, 10)), ticksOf(...study.range, 6), x, y, "seconds a fold");
    const steps = front.flatMap((trial, place) => [...(place ? [[x(trial.seconds_per_fold), y(front[place - 1].value)]] : []), [x(trial.seconds_per_fold), y(trial.value)]]);
    plot.line([...steps, [plot.right, steps.at(-1)[1]]], COLOURS.PRUNED, 1.6);
    for (const trial of bestLast(complete)) plot.dot(x(trial.seconds_per_fold), y(trial.value), trial, study.front.includes(trial.number) ? small() + 1.5 : small(), 0.6);
  });
}

function drawImportances() {
  const part = section("importances", "Importance of the parameters", `Share in what separates the top trials from all ${complete.length} complete ones (PED-ANOVA).`);
  const rows = study.importances;
  new Plot(part, 14 + 24 * rows.length, [4, 60, 6, 240], plot => {
    const x = plot.scale(0, rows[0][1] || 1, plot.left, plot.right);
    rows.forEach(([key, share], place) => {
      const y = plot.top + 12 + 24 * place;
      plot.pen.fillStyle = COLOURS.COMPLETE; plot.pen.fillRect(plot.left, y - 8, x(share) - plot.left, 16);
      plot.text(key, plot.left - 8, y, "right", "#222"); plot.text(`${Math.round(share * 100)} %`, x(share) + 6, y, "left");
    });
  });
}

function heightOn(axis, place, trial) {
  const at = trial.places[place];
  return at === null ? null : at + (axis.kind === "choice" ? spread(trial.number) : 0);
}

function drawParallel() {
  const places = study.ranked.slice(0, 14).sort((one, other) => one - other);
  const part = section("parallel", "Parallel coordinates", "One line a complete trial; the best tenth in blue, the best in green. A line below an axis: the parameter does not count there.");
  const rank = [...complete].sort((one, other) => (study.greater_is_better ? 1 : -1) * (one.value - other.value));
  new Plot(part, 360, [26, 50, 24, 30], plot => {
    const [low, high] = study.range, x = plot.scale(0, places.length, plot.left, plot.right);
    const y = plot.scale(0, 1, plot.bottom, plot.top), score = plot.scale(low, high, plot.bottom, plot.top);
    const top = Math.max(1, Math.round(rank.length / 10));
    const marked = rank.filter(trial => trial.number === chosen);
    [...rank, ...marked].forEach((trial, order) => {
      const line = places.map((place, column) => { const at = heightOn(study.axes[place], place, trial); return [x(column), at === null ? plot.bottom + 14 : y(at)]; });
      line.push([x(places.length), score(trial.value)]);
      const isTop = order >= rank.length - top, isBest = trial.number === study.best, isChosen = trial.number === chosen;
      plot.line(line, isChosen ? CHOSEN : isBest ? BEST : isTop ? COLOURS.COMPLETE : GREY, isChosen || isBest ? 2.4 : isTop ? 1.2 : 0.6, isTop || isChosen ? 0.9 : 0.25);
      line.forEach(([at, height]) => plot.spot(at, height, trial));
    });
    places.forEach((place, column) => {
      const axis = study.axes[place];
      plot.line([[x(column), plot.top], [x(column), plot.bottom]], "#333", 0.8);
      plot.text(axis.key.split(".").at(-1).slice(0, 20), x(column), plot.top - 14, "center", "#222");
      axis.ticks.forEach(([at, label]) => plot.text(label, x(column) + 4, y(at), "left", "#333"));
    });
    plot.line([[plot.right, plot.top], [plot.right, plot.bottom]], "#333", 0.8);
    plot.text("score", plot.right, plot.top - 14, "center", "#222");
    ticksOf(low, high, 6).forEach(value => plot.text(short(value), plot.right + 4, score(value), "left", "#333"));
  });
}

function drawSlices() {
  const part = section("slices", "Slices", "The score over each parameter, the most important first.");
  const grid = element(part, "div", undefined, { class: "slices" });
  for (const place of study.ranked.slice(0, 24)) {
    const axis = study.axes[place], cell = element(grid, "div");
    element(cell, "p", axis.key);
    new Plot(cell, 210, [6, 10, 24, 56], plot => {
      const [low, high] = study.range, x = plot.scale(-0.03, 1.03, plot.left, plot.right), y = plot.scale(low, high, plot.bottom, plot.top);
      plot.frame(axis.ticks, ticksOf(low, high, 4), x, y);
      for (const trial of bestLast(complete)) {
        const at = heightOn(axis, place, trial);
        if (at !== null) plot.dot(x(at), y(trial.value), trial, small() - 0.5, 0.55);
      }
    });
  }
}

function lines(part, pick, trials, xLabel) {
  const drawn = trials.map(trial => [trial, pick(trial)]).filter(([, line]) => line.some(value => value !== null));
  const longest = Math.max(2, ...drawn.map(([, line]) => line.length));
  new Plot(part, 300, [10, 12, 38, 62], plot => {
    const [low, high] = pick.range, x = plot.scale(1, longest, plot.left + 8, plot.right - 6), y = plot.scale(low, high, plot.bottom, plot.top);
    plot.frame(numbered(ticksOf(1, longest, 10).filter(Number.isInteger)), ticksOf(low, high, 6), x, y, xLabel);
    for (const [trial, line] of drawn.sort(([one], [other]) => (one.number === study.best || one.number === chosen) - (other.number === study.best || other.number === chosen))) {
      const points = line.map((value, place) => [x(place + 1), value]).filter(([, value]) => value !== null).map(([at, value]) => [at, y(value)]);
      const isChosen = trial.number === chosen, isBest = trial.number === study.best;
      plot.line(points, isChosen ? CHOSEN : isBest ? BEST : COLOURS[trial.state], isChosen || isBest ? 2.2 : 0.8, isChosen || isBest ? 1 : drawn.length > 60 ? 0.25 : 0.6);
      plot.dot(...points.at(-1), trial, trial.state === "PRUNED" ? 3 : 1.5, 0.7);
    }
  });
}

function drawPruning() {
  const part = section("pruning", "Pruning", study.savings);
  const means = trial => trial.means, curve = trial => trial.curve;
  means.range = study.means_range; curve.range = study.curves_range;
  lines(part, means, study.trials, "folds: mean score of the folds so far");
  if (study.curves_range) lines(part, curve, study.trials.filter(trial => trial.curve.length > 1), "epoch of the first fold: validation score");
}

function drawTimeline() {
  const timed = study.trials.filter(trial => trial.span), rows = Math.max(...timed.map(trial => trial.lane)) + 1;
  const last = Math.max(...timed.map(trial => trial.span[1])) || 1;
  const [unit, name] = last >= 7200 ? [3600, "hours"] : last >= 120 ? [60, "minutes"] : [1, "seconds"];
  const part = section("timeline", "Timeline", "When each trial ran; rows ran at the same time. A trial that was continued covers the pause.");
  const high = clamp(260 / rows, 3, 22);
  new Plot(part, 50 + rows * high, [6, 12, 38, 30], plot => {
    const x = plot.scale(0, last / unit, plot.left, plot.right);
    plot.frame(numbered(ticksOf(0, last / unit, 10)), [], x, () => 0, `${name} since the study began`);
    for (const trial of timed) {
      const from = x(trial.span[0] / unit), to = x(trial.span[1] / unit), y = plot.top + trial.lane * high;
      plot.pen.fillStyle = trial.number === chosen ? CHOSEN : trial.number === study.best ? BEST : COLOURS[trial.state];
      plot.pen.fillRect(from, y + 1, Math.max(1, to - from - (to - from > 4 ? 1 : 0)), Math.max(1, high - 2));
      plot.spot((from + to) / 2, y + high / 2, trial);
    }
  });
}

function drawTable() {
  const part = section("trials", "Trials", `${study.trials.length} trials; a click on a heading sorts by it.`);
  const table = element(element(part, "div", undefined, { class: "wide" }), "table");
  const columns = [["trial", trial => trial.number], ["state", trial => WORDS[trial.state]], ["score", trial => trial.value],
    ["folds", trial => trial.means.length], ["seconds", trial => trial.seconds],
    ...study.axes.map((axis, place) => [axis.key, trial => axis.kind === "choice" ? trial.params[place] : trial.values[place]]), ["", trial => trial.remark.slice(0, 80)]];
  const head = element(element(table, "thead"), "tr"), body = element(table, "tbody");
  const fill = (pick, up) => {
    const by = (one, other) => one < other ? -1 : one > other ? 1 : 0;
    const empty = value => value === null || value === "";
    const sorted = [...study.trials].sort((one, other) => empty(pick(one)) - empty(pick(other)) || (up ? 1 : -1) * by(pick(one), pick(other)));
    body.replaceChildren();
    for (const trial of sorted.slice(0, 500)) {
      const row = element(body, "tr");
      row.dataset.trial = trial.number;
      row.classList.toggle("chosen", trial.number === chosen);
      row.addEventListener("click", () => choose(trial.number));
      for (const [, value] of columns) {
        const shown = value(trial);
        element(row, "td", typeof shown === "number" ? short(shown) : shown ?? "-", typeof shown === "number" ? { class: "n" } : {});
      }
    }
  };
  let last = null;
  columns.forEach(([name, value]) => element(head, "th", name).addEventListener("click", () => { last = last === name ? null : name; fill(value, last === name); }));
  fill(trial => trial.value, !study.greater_is_better);
}

document.getElementById("name").textContent = study.name;
document.getElementById("summary").textContent = study.summary;
const key = document.getElementById("key");
for (const [state, word] of Object.entries(WORDS)) {
  if (study.trials.some(trial => trial.state === state)) { const item = element(key, "span"); element(item, "i").style.background = COLOURS[state]; item.append(word); }
}
const item = element(key, "span"); element(item, "i").style.background = BEST; item.append("best");
if (complete.length) drawHistory();
if (study.front.length) drawTradeOff();
if (study.importances.length) drawImportances();
if (complete.length > 1 && study.axes.length) { drawParallel(); drawSlices(); }
if (study.means_range) drawPruning();
if (study.trials.some(trial => trial.span)) drawTimeline();
drawTable();
for (const link of document.querySelectorAll("nav a")) if (!document.querySelector(link.getAttribute("href"))) link.remove();
let waiting = null;
window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => plots.forEach(plot => plot.draw()), 150); });
