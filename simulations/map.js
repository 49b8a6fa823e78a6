"use strict";
/* A run, played back. First what is known at a time (no page needed), then the picture, then the hands on it. */

// ---- what the page holds ----

function unpack(text) {
  const bytes = atob(text), numbers = [];
  let number = 0, scale = 1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes.charCodeAt(at);
    number += (byte & 127) * scale;
    if (byte & 128) scale *= 128;
    else { numbers.push(number); number = 0; scale = 1; }
  }
  return numbers;
}

function summed(steps) {
  let sum = 0;
  return steps.map((step) => (sum += step));
}

function table(columns, names) {
  const lines = {};
  names.forEach((name, at) => {
    const numbers = columns.length ? unpack(columns[at]) : [];
    lines[name] = Float64Array.from(at === 0 ? summed(numbers) : numbers);
  });
  lines.length = lines[names[0]].length;
  return lines;
}

/* Which lines have which key, in their order: the lines of key k are lines[starts[k]] to lines[starts[k + 1] - 1]. */
function index(keys, size) {
  const starts = new Uint32Array(size + 1);
  for (const key of keys) starts[key + 1]++;
  for (let key = 0; key < size; key++) starts[key + 1] += starts[key];
  const next = starts.slice(), lines = new Uint32Array(keys.length);
  keys.forEach((key, line) => (lines[next[key]++] = line));
  return (key) => lines.subarray(starts[key], starts[key + 1]);
}

function readRun(data) {
  const run = {
    data, nodes: data.nodes, ticks: data.ticks, end: data.duration * data.ticks,
    messages: table(data.messages, ["t", "id", "src", "dst", "size", "ttl", "prio"]),
    contacts: table(data.contacts, ["t", "lasts", "a", "b"]),
    hops: table(data.hops, ["t", "source", "target", "message"]),
    losses: table(data.losses, ["t", "node", "message"]),
    deliveries: table(data.deliveries, ["t", "node", "message", "hops"]),
    bound: table(data.bound, ["t", "node", "message"]),
  };
  const count = run.messages.length;
  run.messages.dst = run.messages.dst.map((dst) => dst - 1); // -1 is everybody.
  run.line = new Map(Array.from(run.messages.id, (id, line) => [id, line]));
  run.hopsOf = index(run.hops.message, count);
  run.lossesOf = index(run.losses.message, count);
  run.deliveriesOf = index(run.deliveries.message, count);
  run.boundOf = index(run.bound.message, count);
  run.hopsTo = index(run.hops.target, run.nodes);
  run.hopsFrom = index(run.hops.source, run.nodes);
  run.lossesBy = index(run.losses.node, run.nodes);
  run.deliveriesTo = index(run.deliveries.node, run.nodes);
  run.writtenBy = index(run.messages.src, run.nodes);
  run.places = readPlaces(data.places, run.nodes);
  run.namedFirst = Array.from({ length: run.nodes }, (_, node) => node);
  run.namedFirst.sort((a, b) => !data.names[a] - !data.names[b] || a - b);
  return run;
}

function readPlaces(places, nodes) {
  const t = summed(unpack(places.t)), numbers = unpack(places.xy), flat = Float32Array.from(numbers);
  for (let at = 0; at < flat.length; at++) {
    const step = numbers[at] % 2 ? -(numbers[at] + 1) / 2 : numbers[at] / 2;
    flat[at] = step + (at < 2 * nodes ? 0 : flat[at - 2 * nodes]);
  }
  const sides = [1, 1];
  flat.forEach((value, at) => { sides[at % 2] = Math.max(sides[at % 2], value); });
  return { t, flat, sides, given: places.given, metres: places.metres, scale: 1 };
}

/* How many of the sorted times are not after t. */
function until(times, t) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1; else high = middle;
  }
  return low;
}

function lineUntil(lines, times, t) {
  let low = 0, high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[lines[middle]] <= t) low = middle + 1; else high = middle;
  }
  return low;
}

function kindOf(run, message) {
  if (run.messages.prio[message] === 0) return "sos";
  if (run.messages.dst[message] < 0) return "broadcast";
  return run.messages.prio[message] === 2 ? "bulk" : "text";
}

// ---- what is known at a time ----

/* Counts up to a time; going back begins anew. */
class Tally {
  constructor(run) { this.run = run; this.reset(); }

  reset() {
    this.t = -1;
    this.written = this.delivered = this.bound = this.wanted = 0;
    this.wantedBy = new Uint32Array(this.run.nodes);
    this.gotBy = new Uint32Array(this.run.nodes);
    this.gotOf = new Uint32Array(this.run.messages.length);
  }

  to(t) {
    const { messages, deliveries, bound, nodes } = this.run;
    if (t < this.t) this.reset();
    this.t = t;
    for (; this.written < messages.length && messages.t[this.written] <= t; this.written++) {
      const src = messages.src[this.written], dst = messages.dst[this.written];
      if (dst >= 0) { this.wantedBy[dst]++; this.wanted++; }
      else {
        for (let node = 0; node < nodes; node++) if (node !== src) this.wantedBy[node]++;
        this.wanted += nodes - 1;
      }
    }
    for (; this.delivered < deliveries.length && deliveries.t[this.delivered] <= t; this.delivered++) {
      this.gotBy[deliveries.node[this.delivered]]++;
      this.gotOf[deliveries.message[this.delivered]]++;
    }
    this.bound = until(bound.t, t);
    return this;
  }
}

/* A message's copies at a time: who holds one, who did, and from whom and when each had it first. */
function copies(run, message, t) {
  const { hops, losses, messages } = run, held = new Set(), lost = new Set(), came = new Map();
  if (messages.t[message] > t) return { held, lost, came };
  const lines = run.hopsOf(message), gone = run.lossesOf(message);
  held.add(messages.src[message]);
  if (!run.data.trail) {
    const got = run.deliveriesOf(message), count = lineUntil(got, run.deliveries.t, t);
    for (const line of got.subarray(0, count)) held.add(run.deliveries.node[line]);
  }
  for (let a = 0, b = 0; a < lines.length || b < gone.length;) {
    const hop = a < lines.length ? hops.t[lines[a]] : Infinity, loss = b < gone.length ? losses.t[gone[b]] : Infinity;
    if (Math.min(hop, loss) > t) break;
    if (hop <= loss) {
      const target = hops.target[lines[a]];
      if (!came.has(target)) came.set(target, { from: hops.source[lines[a]], t: hop });
      held.add(target);
      lost.delete(target);
      a++;
    } else {
      const node = losses.node[gone[b]];
      held.delete(node);
      lost.add(node);
      b++;
    }
  }
  return { held, lost, came };
}

/* How it came to a node: [{node, t}] from its author on; empty where that was not recorded. */
function journey(run, message, came, node) {
  const way = [];
  for (let at = node; came.has(at) && way.length <= run.nodes; at = came.get(at).from) {
    way.unshift({ node: at, t: came.get(at).t });
  }
  return way.length ? [{ node: run.messages.src[message], t: run.messages.t[message] }, ...way] : [];
}

function neighbours(run, node, t) {
  const { contacts } = run, found = [];
  for (let line = until(contacts.t, t) - 1; line >= 0; line--) {
    if (contacts.t[line] + contacts.lasts[line] < t) continue;
    if (contacts.a[line] === node) found.push(contacts.b[line]);
    else if (contacts.b[line] === node) found.push(contacts.a[line]);
  }
  return [...new Set(found)].sort((a, b) => a - b);
}

// ---- words ----

const KIND_WORDS = { sos: "SOS", text: "text", bulk: "bulk", broadcast: "broadcast" };

function clock(run, t) {
  const s = Math.floor(t / run.ticks), day = Math.floor(s / 86400), two = (n) => String(n).padStart(2, "0");
  const time = `${two(Math.floor((s % 86400) / 3600))}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
  return run.end / run.ticks > 86400 ? `day ${day + 1} ${time}` : time;
}

function span(run, ticks) {
  const s = ticks / run.ticks;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} days`;
}

function size(bytes) {
  return bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function nodeName(run, node) { return run.data.names[node] || `node ${node}`; }

// ---- the picture ----

const FLIGHT_S = 0.6; // How long a hop is under way before your eyes.
const FLIGHTS_MAX = 1500;
const MARGIN = 26;

function startPage() {
  const get = (id) => document.getElementById(id);
  const run = readRun(JSON.parse(get("data").textContent));
  const tally = new Tally(run), canvas = get("map"), strip = get("strip"), xy = new Float32Array(2 * run.nodes);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const now = { t: 0, playing: !calm, speed: 60, message: -1, node: -1, zoom: 1, panX: 0, panY: 0, hover: -1 };
  let spotAt = null, colours = {}, flights = [], frame = 0, before = 0, copied = null, told = "";

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["paper", "panel", "ink", "quiet", "rule", "contact", "none", "all", ...Object.keys(KIND_WORDS)]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    const parts = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const [none, all] = [parts(colours.none), parts(colours.all)];
    colours.scale = Array.from({ length: 33 }, (_, step) => {
      return `rgb(${none.map((value, at) => Math.round(value + ((all[at] - value) * step) / 32)).join(",")})`;
    });
  }

  function fit(surface) {
    const ratio = devicePixelRatio || 1, { width, height } = surface.getBoundingClientRect();
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (surface.width !== w || surface.height !== h) { surface.width = w; surface.height = h; }
    const pen = surface.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  /* Where each node is on the surface. Places given in metres keep their shape; computed ones fill the room there is. */
  function place(width, height) {
    const { t, flat, sides, given } = run.places, n2 = 2 * run.nodes;
    let [sx, sy] = [(width - 2 * MARGIN) / sides[0], (height - 2 * MARGIN) / sides[1]];
    if (given) sx = sy = run.places.scale = Math.min(sx, sy);
    const ox = (width - sides[0] * sx) / 2, oy = (height - sides[1] * sy) / 2;
    spotAt = (at, time) => {
      const next = Math.min(until(t, time), t.length - 1), last = Math.max(until(t, time) - 1, 0);
      const part = next > last ? (time - t[last]) / (t[next] - t[last]) : 0;
      const value = flat[last * n2 + at] + part * (flat[next * n2 + at] - flat[last * n2 + at]);
      return at % 2 ? (value * sy + oy) * now.zoom + now.panY : (value * sx + ox) * now.zoom + now.panX;
    };
    for (let at = 0; at < n2; at++) xy[at] = spotAt(at, now.t);
  }

  function draw() {
    const { pen, width, height } = fit(canvas);
    place(width, height);
    tally.to(now.t);
    copied = now.message >= 0 ? copies(run, now.message, now.t) : null;
    const lit = drawContacts(pen);
    if (copied) drawPaths(pen);
    drawFlights(pen);
    drawNodes(pen, width);
    if (run.places.given) drawScale(pen, height);
    tell(lit);
  }

  function drawContacts(pen) {
    const { t, lasts, a, b } = run.contacts;
    let count = 0;
    pen.beginPath();
    for (let line = until(t, now.t) - 1; line >= 0; line--) {
      if (t[line] + lasts[line] < now.t) continue;
      count++;
      pen.moveTo(xy[2 * a[line]], xy[2 * a[line] + 1]);
      pen.lineTo(xy[2 * b[line]], xy[2 * b[line] + 1]);
    }
    pen.strokeStyle = colours.contact;
    pen.globalAlpha = copied || count > 300 ? 0.5 : 1;
    pen.lineWidth = count > 300 ? 0.7 : 1.2;
    pen.stroke();
    pen.globalAlpha = 1;
    return count;
  }

  function stroke(pen, from, to) {
    pen.moveTo(xy[2 * from], xy[2 * from + 1]);
    pen.lineTo(xy[2 * to], xy[2 * to + 1]);
  }

  function drawPaths(pen) {
    pen.strokeStyle = colours[kindOf(run, now.message)];
    pen.globalAlpha = 0.35;
    pen.lineWidth = 1.2;
    pen.beginPath();
    copied.came.forEach((hop, node) => stroke(pen, hop.from, node));
    pen.stroke();
    pen.globalAlpha = 1;
    const goal = run.messages.dst[now.message] >= 0 ? run.messages.dst[now.message] : now.node;
    const way = journey(run, now.message, copied.came, goal);
    pen.lineWidth = 3.5;
    pen.beginPath();
    for (let at = 1; at < way.length; at++) stroke(pen, way[at - 1].node, way[at].node);
    pen.stroke();
  }

  function drawFlights(pen) {
    const { t, source, target, message } = run.hops, reach = FLIGHT_S * now.speed * run.ticks;
    const first = until(t, now.t), last = until(t, now.t + reach), step = Math.max(1, Math.ceil((last - first) / FLIGHTS_MAX));
    flights = [];
    for (let line = first; line < last; line += step) {
      if (now.message >= 0 && message[line] !== now.message) continue;
      // Two who walk are side by side when a message passes, and there it is drawn.
      const part = 1 - (t[line] - now.t) / reach, then = run.places.t.length > 1 ? t[line] : now.t;
      const [x0, y0, x1, y1] = [source, target].flatMap((end) => [spotAt(2 * end[line], then), spotAt(2 * end[line] + 1, then)]);
      const [x, y] = [x0 + part * (x1 - x0), y0 + part * (y1 - y0)], tail = Math.max(0, part - 0.18);
      const [tailX, tailY] = [x0 + tail * (x1 - x0), y0 + tail * (y1 - y0)];
      flights.push({ x, y, message: message[line] });
      pen.strokeStyle = pen.fillStyle = colours[kindOf(run, message[line])];
      pen.globalAlpha = 0.55;
      pen.lineWidth = 1.6;
      pen.beginPath();
      pen.moveTo(tailX, tailY);
      pen.lineTo(x, y);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.beginPath();
      pen.arc(x, y, last - first > 300 ? 2 : 3, 0, 7);
      pen.fill();
    }
  }

  function drawNodes(pen, width) {
    const room = Math.max(2.2, Math.min(9, (width / Math.sqrt(run.nodes)) * (run.places.given ? 0.07 : 0.1))), radius = room * Math.sqrt(now.zoom);
    const kind = copied ? colours[kindOf(run, now.message)] : "";
    for (let node = 0; node < run.nodes; node++) {
      const [x, y] = [xy[2 * node], xy[2 * node + 1]], wanted = tally.wantedBy[node];
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      if (copied) {
        pen.fillStyle = copied.held.has(node) ? kind : colours.paper;
        pen.strokeStyle = copied.lost.has(node) && !copied.held.has(node) ? kind : colours.quiet;
        pen.lineWidth = copied.lost.has(node) ? 2 : 1;
      } else {
        pen.fillStyle = wanted ? colours.scale[Math.floor((32 * tally.gotBy[node]) / wanted)] : colours.paper;
        pen.strokeStyle = wanted ? colours.paper : colours.quiet;
        pen.lineWidth = 1;
      }
      pen.fill();
      pen.stroke();
    }
    drawArrivals(pen, radius);
    drawMarks(pen, radius);
    drawNames(pen, radius);
  }

  /* A ring that spreads from a node to which something has just been delivered. */
  function drawArrivals(pen, radius) {
    const { t, node, message } = run.deliveries, reach = FLIGHT_S * now.speed * run.ticks;
    const last = until(t, now.t), first = Math.max(until(t, now.t - reach), last - FLIGHTS_MAX);
    for (let line = first; line < last; line++) {
      if (copied && message[line] !== now.message) continue;
      const part = (now.t - t[line]) / reach;
      pen.globalAlpha = 1 - part;
      pen.strokeStyle = colours[kindOf(run, message[line])];
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(xy[2 * node[line]], xy[2 * node[line] + 1], radius * (1.3 + part * 1.4), 0, 7);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  function drawMarks(pen, radius) {
    const box = (node, turn) => {
      pen.save();
      pen.translate(xy[2 * node], xy[2 * node + 1]);
      pen.rotate(turn);
      pen.strokeRect(-radius * 1.7, -radius * 1.7, radius * 3.4, radius * 3.4);
      pen.restore();
    };
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    if (now.message >= 0) {
      box(run.messages.src[now.message], 0);
      if (run.messages.dst[now.message] >= 0) box(run.messages.dst[now.message], Math.PI / 4);
    }
    if (now.node >= 0) {
      pen.beginPath();
      pen.arc(xy[2 * now.node], xy[2 * now.node + 1], radius * 1.9, 0, 7);
      pen.stroke();
    }
  }

  /* As many as there is room for, those with a name before those with a number. */
  function drawNames(pen, radius) {
    const taken = new Set(), cell = (x, y) => Math.floor(x / 9) * 100003 + Math.floor(y / 9);
    for (let node = 0; node < run.nodes; node++) taken.add(cell(xy[2 * node], xy[2 * node + 1]));
    pen.fillStyle = colours.quiet;
    pen.strokeStyle = colours.paper;
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    pen.font = "11px system-ui, sans-serif";
    for (const node of run.namedFirst) {
      const words = run.data.names[node] || String(node), x = xy[2 * node] + radius + 3, y = xy[2 * node + 1];
      const cells = [];
      for (let at = 2; at < 6.5 * words.length + 9; at += 9) cells.push(cell(x + at, y - 4), cell(x + at, y + 4));
      if (cells.some((one) => taken.has(one))) continue;
      cells.forEach((one) => taken.add(one));
      pen.strokeText(words, x, y + 4);
      pen.fillText(words, x, y + 4);
    }
  }

  /* Where lengths mean something: a round number of metres, some ninety pixels long. */
  function drawScale(pen, height) {
    const pixels = run.places.scale * now.zoom / run.places.metres, most = 120 / pixels;
    const power = 10 ** Math.floor(Math.log10(most)), metres = power * [5, 2, 1].find((one) => one * power <= most);
    pen.strokeStyle = pen.fillStyle = colours.quiet;
    pen.lineWidth = 1.5;
    pen.strokeRect(12, height - 12, metres * pixels, 0);
    pen.font = "11px system-ui, sans-serif";
    pen.fillText(metres < 1000 ? `${metres} m` : `${metres / 1000} km`, 12, height - 18);
  }

  function drawStrip() {
    const { pen, width, height } = fit(strip), bins = new Float64Array(Math.max(1, Math.floor(width / 3)));
    const { t, lasts } = run.contacts, each = run.end / bins.length, bottom = height - 3, high = height - 8;
    for (let line = 0; line < t.length; line++) {
      const last = Math.min(bins.length - 1, Math.floor((t[line] + lasts[line]) / each));
      for (let bin = Math.min(last, Math.floor(t[line] / each)); bin <= last; bin++) {
        bins[bin] += Math.min(each * (bin + 1), t[line] + lasts[line]) - Math.max(each * bin, t[line]);
      }
    }
    const most = bins.reduce((a, b) => Math.max(a, b), 1);
    pen.fillStyle = colours.rule;
    bins.forEach((value, bin) => pen.fillRect((bin * width) / bins.length, bottom, width / bins.length - 1, (-value / most) * high));
    const whole = Math.max(1, new Tally(run).to(Infinity).wanted);
    const curve = (times, colour, dash) => {
      pen.beginPath();
      pen.moveTo(0, bottom);
      for (let x = 0; x <= width; x += 2) pen.lineTo(x, bottom - (until(times, (x / width) * run.end) / whole) * high);
      pen.strokeStyle = colour;
      pen.setLineDash(dash);
      pen.lineWidth = 1.6;
      pen.stroke();
    };
    curve(run.bound.t, colours.ink, [1.5, 2.5]);
    curve(run.deliveries.t, colours.all, []);
    pen.setLineDash([]);
  }

  // ---- the panel ----

  function element(name, ...inside) {
    const made = document.createElement(name);
    made.append(...inside);
    return made;
  }

  function link(words, act) {
    const made = element("button", words);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  const nodeLink = (node) => link(nodeName(run, node), () => pick(now.message, node));
  const messageLink = (message) => link(`#${run.messages.id[message]}`, () => pick(message, now.node));

  function tell(lit) {
    get("delivered").textContent = tally.delivered;
    get("wanted").textContent = tally.wanted;
    get("flood").textContent = tally.bound;
    get("share").textContent = tally.bound ? `${((100 * tally.delivered) / tally.bound).toFixed(1)} %` : "–";
    get("contacts").textContent = lit;
    get("clock").textContent = clock(run, now.t);
    get("time").value = now.t;
    const parts = [];
    if (now.message >= 0) parts.push(...messageStory(now.message));
    if (now.node >= 0) parts.push(...nodeStory(now.node));
    // Only what changed is put there: a screen reader reads it, a finger may be on it.
    const telling = parts.map((part) => part.textContent).join("\n");
    if (telling !== told) get("story").replaceChildren(...parts);
    told = telling;
  }

  function messageStory(message) {
    const { messages, deliveries, bound } = run, dst = messages.dst[message], written = messages.t[message];
    const kind = KIND_WORDS[kindOf(run, message)], parts = [element("h2", `Message #${messages.id[message]}, ${kind}`)];
    parts.push(element("p", `${size(messages.size[message])} from `, nodeLink(messages.src[message]), " to ",
      dst < 0 ? "everybody" : nodeLink(dst), `, written ${clock(run, written)}, good for ${span(run, messages.ttl[message] * run.ticks)}.`));
    if (written > now.t) return [...parts, element("p", "Not written yet.")];
    const lines = run.deliveriesOf(message), arrived = lineUntil(lines, deliveries.t, now.t);
    const ideal = run.boundOf(message), could = lineUntil(ideal, bound.t, now.t);
    if (dst < 0) {
      parts.push(element("p", `Arrived at ${arrived} of ${run.nodes - 1}; the ideal flood: ${could}.`));
    } else if (arrived) {
      const t = deliveries.t[lines[0]];
      parts.push(element("p", `Arrived ${clock(run, t)}, after ${span(run, t - written)} and ${deliveries.hops[lines[0]]} hops.`));
    } else {
      parts.push(element("p", now.t > written + messages.ttl[message] * run.ticks ? "Never arrived in time." : "Under way."));
    }
    if (dst >= 0) {
      parts.push(element("p", ideal.length ? `At best after ${span(run, bound.t[ideal[0]] - written)}.` : "No way led there in time."));
    }
    if (!run.data.trail) return parts;
    if (!run.hopsOf(message).length) {
      const some = run.data.shown < run.messages.length ? `, or it is not among the ${run.data.shown} whose ways are shown` : "";
      return [...parts, element("p", `Nobody took it${some}.`)];
    }
    const kept = run.losses.length ? `hold it now, ${copied.lost.size} gave it up` : "have taken it so far";
    parts.push(element("p", `${copied.held.size} ${kept}.`));
    const way = journey(run, message, copied.came, dst >= 0 ? dst : now.node);
    parts.push(element("ol", ...way.map((stop) => element("li", `${clock(run, stop.t)} `, nodeLink(stop.node)))));
    return parts;
  }

  function nodeStory(node) {
    const { messages, deliveries, hops, losses } = run, parts = [element("h2", nodeName(run, node))];
    const near = neighbours(run, node, now.t), wrote = run.writtenBy(node), got = run.deliveriesTo(node);
    const written = lineUntil(wrote, messages.t, now.t), arrived = lineUntil(got, deliveries.t, now.t);
    parts.push(element("p", near.length ? "Hears " : "Hears nobody.", ...near.slice(0, 12).flatMap((one) => [nodeLink(one), " "]),
      near.length > 12 ? `and ${near.length - 12} more` : ""));
    let came = 0;
    for (let at = 0; at < written; at++) came += tally.gotOf[wrote[at]];
    parts.push(element("p", `For it: ${tally.gotBy[node]} of ${tally.wantedBy[node]} have arrived. Wrote ${written}, with ${came} arrivals.`));
    if (run.data.trail) {
      const taken = lineUntil(run.hopsTo(node), hops.t, now.t), passed = lineUntil(run.hopsFrom(node), hops.t, now.t);
      const gone = lineUntil(run.lossesBy(node), losses.t, now.t);
      parts.push(element("p", `Took ${taken} copies, passed on ${passed}${run.losses.length ? `, gave up ${gone}` : ""}.`));
    }
    const lately = [
      ...Array.from(wrote.subarray(Math.max(0, written - 6), written), (line) => [messages.t[line], "wrote ", line]),
      ...Array.from(got.subarray(Math.max(0, arrived - 6), arrived), (line) => [deliveries.t[line], "got ", deliveries.message[line]]),
    ].sort((a, b) => b[0] - a[0]).slice(0, 8);
    parts.push(element("ol", ...lately.map(([t, did, line]) => element("li", `${clock(run, t)} ${did}`, messageLink(line)))));
    return parts;
  }

  // ---- hands ----

  function pick(message, node) {
    [now.message, now.node] = [message, node];
    get("message").value = message < 0 ? "" : run.messages.id[message];
    get("node").value = node < 0 ? "" : node;
    wake();
  }

  function go(t) { now.t = Math.max(0, Math.min(run.end, t)); wake(); }

  function play(on) {
    if (on && now.t >= run.end) now.t = 0;
    now.playing = on;
    get("play").classList.toggle("playing", on);
    wake();
  }

  function step(stamp) {
    frame = 0;
    if (now.playing) {
      now.t = Math.min(run.end, now.t + Math.min(0.1, (stamp - (before || stamp)) / 1000) * now.speed * run.ticks);
      if (now.t >= run.end) play(false);
    }
    before = now.playing ? stamp : 0;
    draw();
    if (now.playing) wake();
  }

  function wake() { frame = frame || requestAnimationFrame(step); }

  function dress(dark) {
    document.documentElement.classList.toggle("dark", dark);
    readColours();
    drawStrip();
    wake();
  }

  function faster(by) {
    const choices = get("speed"), at = choices.selectedIndex + by;
    if (at >= 0 && at < choices.length) { choices.selectedIndex = at; now.speed = Number(choices.value); wake(); }
  }

  function nextMessage(by) {
    const count = run.messages.length;
    if (!count) return;
    // From nowhere it begins with the newest one written.
    const from = now.message >= 0 ? now.message + by : Math.max(0, tally.written - 1);
    pick((from + count) % count, now.node);
  }

  function zoomAt(x, y, factor) {
    const zoom = Math.max(1, Math.min(30, now.zoom * factor)), grown = zoom / now.zoom;
    now.panX = zoom === 1 ? 0 : x - (x - now.panX) * grown;
    now.panY = zoom === 1 ? 0 : y - (y - now.panY) * grown;
    now.zoom = zoom;
    wake();
  }

  function nearest(x, y) {
    let [node, message, best] = [-1, -1, 14 * 14];
    for (let at = 0; at < run.nodes; at++) {
      const away = (xy[2 * at] - x) ** 2 + (xy[2 * at + 1] - y) ** 2;
      if (away < best) [node, best] = [at, away];
    }
    for (const flight of flights) {
      const away = (flight.x - x) ** 2 + (flight.y - y) ** 2;
      if (away < Math.min(best, 100)) [message, node, best] = [flight.message, -1, away];
    }
    return { node, message };
  }

  function takePointers() {
    const down = new Map();
    let moved = false;
    const spot = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (!down.size) moved = false;
      down.set(event.pointerId, spot(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = spot(event), last = down.get(event.pointerId);
      if (!last) { hover(x, y); return; }
      moved ||= Math.hypot(x - last[0], y - last[1]) > 4;
      if (!moved) return;
      get("tip").hidden = true;
      down.set(event.pointerId, [x, y]);
      if (down.size === 2) {
        const [restX, restY] = [...down].find(([id]) => id !== event.pointerId)[1];
        const grown = Math.hypot(x - restX, y - restY) / (Math.hypot(last[0] - restX, last[1] - restY) || 1);
        zoomAt(restX, restY, grown);
      } else if (now.zoom > 1) {
        now.panX += x - last[0];
        now.panY += y - last[1];
        wake();
      }
    });
    const up = (event) => {
      if (down.delete(event.pointerId) && !moved && event.type === "pointerup") {
        const found = nearest(...spot(event));
        if (found.message >= 0) pick(found.message, now.node);
        else if (found.node >= 0) pick(now.message, found.node === now.node ? -1 : found.node);
        else pick(-1, -1);
      }
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => { get("tip").hidden = true; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomAt(...spot(event), Math.exp(-event.deltaY / 400));
    }, { passive: false });
  }

  function hover(x, y) {
    const { node, message } = nearest(x, y), tip = get("tip");
    canvas.classList.toggle("near", node >= 0 || message >= 0);
    tip.hidden = node < 0 && message < 0;
    if (tip.hidden) return;
    tip.textContent = node < 0 ? `message #${run.messages.id[message]}` :
      `${nodeName(run, node)}: ${tally.gotBy[node]} of ${tally.wantedBy[node]}`;
    tip.style.left = `${Math.min(x + 14, canvas.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.max(4, y - 28)}px`;
  }

  function takeKeys() {
    const small = run.end / 500, keys = {
      " ": () => play(!now.playing),
      ArrowLeft: (event) => go(now.t - small * (event.shiftKey ? 10 : 1)),
      ArrowRight: (event) => go(now.t + small * (event.shiftKey ? 10 : 1)),
      Home: () => go(0), End: () => go(run.end), Escape: () => pick(-1, -1),
      "+": () => faster(1), "=": () => faster(1), "-": () => faster(-1),
      n: () => nextMessage(1), p: () => nextMessage(-1),
      0: () => { [now.zoom, now.panX, now.panY] = [1, 0, 0]; wake(); },
      d: () => dress(!document.documentElement.classList.contains("dark")),
    };
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input[type=number], select"), pressing = event.target.matches("button");
      if (event.ctrlKey || event.metaKey || event.altKey || typing && event.key !== "Escape" || pressing && event.key === " ") return;
      if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](event); }
    });
  }

  function takeControls() {
    const choices = [1, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400];
    const wished = run.end / run.ticks / 90, nearestChoice = choices.reduce((a, b) => (Math.abs(b - wished) < Math.abs(a - wished) ? b : a));
    for (const speed of choices) {
      get("speed").append(new Option(`${span(run, speed * run.ticks)} a second`, speed, false, speed === nearestChoice));
    }
    now.speed = nearestChoice;
    get("time").max = run.end;
    get("time").addEventListener("input", (event) => go(Number(event.target.value)));
    get("speed").addEventListener("change", (event) => { now.speed = Number(event.target.value); wake(); });
    get("play").addEventListener("click", () => play(!now.playing));
    get("clear").addEventListener("click", () => pick(-1, -1));
    get("theme").addEventListener("click", () => dress(!document.documentElement.classList.contains("dark")));
    get("find").addEventListener("submit", (event) => event.preventDefault());
    get("message").addEventListener("change", (event) => pick(run.line.get(Number(event.target.value || -1)) ?? -1, now.node));
    get("node").addEventListener("change", (event) => {
      const node = event.target.value === "" ? -1 : Number(event.target.value);
      pick(now.message, Number.isInteger(node) && node < run.nodes ? node : -1);
    });
  }

  /* map.html#t=3600&message=7&node=3 opens at that second, standing still. */
  function readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1)), number = (name) => Number(asked.get(name) ?? -1);
    if (number("t") >= 0) { now.playing = false; now.t = Math.min(run.end, number("t") * run.ticks); }
    pick(run.line.get(number("message")) ?? -1, number("node") < run.nodes ? number("node") : -1);
  }

  for (const [word, value] of run.data.facts) {
    get("facts").append(element("div", element("dt", word), element("dd", value)));
  }
  takeControls();
  takeKeys();
  takePointers();
  readAddress();
  play(now.playing);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  prefersDark.addEventListener("change", (event) => dress(event.matches));
  new ResizeObserver(() => { drawStrip(); wake(); }).observe(canvas);
  dress(prefersDark.matches);
}

if (typeof document !== "undefined") startPage();
