/* The map of the library: each one-shot where its key lies on the two widest axes, coloured by its type. */

import { bytes, get, session } from "./api.js";
import { announce, h, refill, seconds, set, title, typeName, typeNames } from "./dom.js";
import { player } from "./suggest.js";

const CELLS = 96; /* of the grid that finds the point under the pointer */
const REACH = 10; /* pixels */

export class LibraryMap {
  constructor(root, { chosen, press }) {
    this.chosen = chosen;
    this.press = press;
    this.hidden = new Set();
    this.view = { x: 0, y: 0, zoom: 1 };
    this.points = null;
    this.filter = { folder: 255, longest: Infinity };
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": "Map of the library. Arrow keys go from one-shot to one-shot and play it, Enter chooses it, plus and minus zoom, Shift and an arrow move the map." });
    this.over = h("canvas", { "aria-hidden": "true" });
    this.tip = h("p", { class: "tip", hidden: true });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Types shown" });
    this.empty = h("p", { class: "map-empty", hidden: true }, "Nothing to map yet. Add a folder of drum samples below: its one-shots appear here.");
    this.root = root;
    root.replaceChildren(this.legend, h("div", { class: "map" }, this.canvas, this.over, this.tip, this.empty));
    this.canvas.addEventListener("pointermove", (event) => this.moved(event));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.canvas.addEventListener("pointerdown", (event) => (this.grip = { x: event.clientX, y: event.clientY, moved: false }, this.canvas.setPointerCapture(event.pointerId)));
    this.canvas.addEventListener("pointerup", () => this.released());
    this.canvas.addEventListener("wheel", (event) => (event.preventDefault(), this.zoom(event.deltaY < 0 ? 1.25 : 0.8, event)), { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  async load() {
    this.take(await bytes("/api/map"));
    await this.light();
  }

  /** The parts of the daemon's `packed_map`. */
  take(data) {
    const [revision, n] = new Uint32Array(data, 0, 2);
    const places = new Float32Array(data, 8, 2 * n);
    const durations = new Float32Array(data, 8 + 8 * n, n);
    const types = new Uint8Array(data, 8 + 12 * n, n);
    const folders = new Uint8Array(data, 8 + 13 * n, n);
    this.points = { revision, n, places, durations, types, folders, order: shuffled(n) };
    this.lit = [];
    this.empty.hidden = n > 0;
    this.drawLegend();
    this.soon();
  }

  /** The best hit of each type of the last press. */
  async light() {
    const press = this.press();
    this.lit = press ? await get(`/api/presses/${press.press}/lit`) : [];
    this.drawOver();
  }

  drawLegend() {
    const { types, n } = this.points;
    const counts = new Array(session.types.length).fill(0);
    for (let i = 0; i < n; i += 1) counts[types[i]] += 1;
    refill(this.legend, ...session.types.map((type, code) => counts[code] ? h("button", { type: "button", class: "type", "data-type": type, "data-key": type, "aria-pressed": String(!this.hidden.has(code)), onclick: (event) => {
      if (!this.hidden.delete(code)) this.hidden.add(code);
      set(event.currentTarget, { "aria-pressed": String(!this.hidden.has(code)) });
      this.draw();
    } }, h("span", { class: "chip" }), title(typeNames(type)), h("span", { class: "quiet" }, counts[code].toLocaleString("en"))) : null).filter(Boolean));
  }

  fit(canvas) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = devicePixelRatio || 1;
    const wanted = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  scale(width, height) {
    const { x, y, zoom } = this.view;
    const [kx, ky] = [(width / 2 - 14) * zoom, (height / 2 - 14) * zoom];
    return { kx, ky, ox: width / 2 - x * kx, oy: height / 2 - y * ky };
  }

  shows(i) {
    const { durations, folders, types } = this.points;
    return !this.hidden.has(types[i]) && durations[i] <= this.filter.longest && (this.filter.folder === 255 || folders[i] === this.filter.folder);
  }

  /** All points, pixel by pixel: ten times as fast as shapes, and 63,000 have to move with the pointer. */
  draw() {
    if (!this.points || !this.canvas.clientWidth) return;
    const { pen, width, height } = this.fit(this.canvas);
    this.scaleNow = { ...this.scale(width, height), width, height };
    this.grid = null;
    const { kx, ky, ox, oy } = this.scaleNow;
    const { durations, folders, places, n, order, types } = this.points;
    const { folder, longest } = this.filter;
    const shown = session.types.map((_, code) => !this.hidden.has(code));
    const ratio = this.canvas.width / width;
    const radius = ratio * Math.min(4, (n > 20000 ? 0.9 : n > 3000 ? 1.4 : 2.4) * Math.sqrt(this.view.zoom));
    const image = pen.createImageData(this.canvas.width, this.canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const dot = disc(radius, image.width);
    const colours = session.types.map((type) => packed(getComputedStyle(this.root).getPropertyValue(`--${type}`)));
    const edge = Math.ceil(radius);
    for (let k = 0; k < n; k += 1) {
      const i = order[k];
      if (!shown[types[i]] || durations[i] > longest || (folder !== 255 && folders[i] !== folder)) continue;
      const x = Math.round((ox + places[2 * i] * kx) * ratio);
      const y = Math.round((oy + places[2 * i + 1] * ky) * ratio);
      if (x < edge || y < edge || x >= image.width - edge || y >= image.height - edge) continue;
      const middle = y * image.width + x;
      for (let j = 0; j < dot.length; j += 1) pixels[middle + dot[j]] = colours[types[i]];
    }
    pen.putImageData(image, 0, 0);
    this.drawOver();
  }

  drawOver() {
    if (!this.points || !this.canvas.clientWidth || !this.scaleNow) return;
    const { pen } = this.fit(this.over);
    const ink = getComputedStyle(this.root).getPropertyValue("--ink");
    for (const i of this.lit ?? []) this.ring(pen, i, 7, ink, true);
    if (this.near !== null && this.near !== undefined) this.ring(pen, this.near, 8, ink, false);
  }

  ring(pen, i, radius, ink, filled) {
    const [x, y] = this.at(i);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    if (filled) {
      pen.fillStyle = getComputedStyle(this.root).getPropertyValue(`--${session.types[this.points.types[i]]}`);
      pen.fill();
    }
    pen.strokeStyle = ink;
    pen.lineWidth = 2;
    pen.stroke();
  }

  at(i) {
    const { kx, ky, ox, oy } = this.scaleNow;
    return [ox + this.points.places[2 * i] * kx, oy + this.points.places[2 * i + 1] * ky];
  }

  /** Points by cell of the screen, made when the pointer first needs it after a drawing. */
  cells() {
    if (this.grid) return this.grid;
    this.grid = new Map();
    const { width, height } = this.scaleNow;
    for (let i = 0; i < this.points.n; i += 1) {
      if (!this.shows(i)) continue;
      const [x, y] = this.at(i);
      if (x < 0 || y < 0 || x > width || y > height) continue;
      const cell = Math.floor((x / width) * CELLS) * CELLS + Math.floor((y / height) * CELLS);
      const held = this.grid.get(cell);
      if (held) held.push(i);
      else this.grid.set(cell, [i]);
    }
    return this.grid;
  }

  nearest(x, y) {
    const { width, height } = this.scaleNow;
    const reachX = Math.ceil((REACH / width) * CELLS);
    const reachY = Math.ceil((REACH / height) * CELLS);
    const [cx, cy] = [Math.floor((x / width) * CELLS), Math.floor((y / height) * CELLS)];
    let best = null;
    let least = REACH * REACH;
    for (let a = cx - reachX; a <= cx + reachX; a += 1) {
      for (let b = cy - reachY; b <= cy + reachY; b += 1) {
        for (const i of this.cells().get(a * CELLS + b) ?? []) {
          const [px, py] = this.at(i);
          const away = (px - x) ** 2 + (py - y) ** 2;
          if (away < least) [best, least] = [i, away];
        }
      }
    }
    return best;
  }

  moved(event) {
    if (!this.points) return;
    if (this.grip) {
      const [dx, dy] = [event.clientX - this.grip.x, event.clientY - this.grip.y];
      if (this.grip.moved || Math.abs(dx) + Math.abs(dy) > 4) {
        const { kx, ky } = this.scaleNow;
        this.view.x -= dx / kx;
        this.view.y -= dy / ky;
        this.grip = { x: event.clientX, y: event.clientY, moved: true };
        this.soon();
      }
      return;
    }
    this.point(this.nearest(event.offsetX, event.offsetY));
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => ((this.frame = null), this.draw()));
  }

  async point(i) {
    if (i === this.near) return;
    [this.near, this.one] = [i, null];
    this.drawOver();
    this.tip.hidden = true;
    if (i === null) return;
    const one = await get(`/api/map/${this.points.revision}/${i}`).catch(() => null);
    if (!one) return this.load();
    if (this.near !== i) return;
    this.one = one;
    const [x, y] = this.at(i);
    this.tip.textContent = `${one.name} · ${typeName(one.type)} · ${seconds(one.duration_s)}`;
    this.tip.hidden = false;
    this.tip.style.left = `${Math.min(Math.max(x, 90), this.scaleNow.width - 90)}px`;
    this.tip.style.top = `${y < 50 ? y + 14 : y - 38}px`;
    player.once(`/api/one-shots/${one.id}/sound`).catch(() => {});
  }

  released() {
    const clicked = this.grip && !this.grip.moved;
    this.grip = null;
    if (clicked && this.one) this.chosen(this.one);
  }

  zoom(factor, event = null) {
    if (!this.scaleNow) return;
    const { width, height, kx, ky, ox, oy } = this.scaleNow;
    const [px, py] = event ? [event.offsetX, event.offsetY] : [width / 2, height / 2];
    const [x, y] = [(px - ox) / kx, (py - oy) / ky];
    const zoom = Math.min(40, Math.max(1, this.view.zoom * factor));
    const k = this.view.zoom / zoom;
    this.view = zoom === 1 ? { x: 0, y: 0, zoom } : { x: x + (this.view.x - x) * k, y: y + (this.view.y - y) * k, zoom };
    this.soon();
  }

  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way && event.shiftKey) {
      this.view.x += (0.2 / this.view.zoom) * way[0];
      this.view.y += (0.2 / this.view.zoom) * way[1];
      this.soon();
    } else if (way) this.step(...way);
    else if (event.key === "Enter" && this.one) this.chosen(this.one);
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (!way && event.key !== "Enter") announce(`Zoom ${this.view.zoom.toFixed(1)}`);
  }

  /** Goes on to the next point in a direction; the map follows it. */
  async step(dx, dy) {
    const i = this.toward(dx, dy);
    if (i === null) return;
    const [x, y] = this.at(i);
    if (x < 0 || y < 0 || x > this.scaleNow.width || y > this.scaleNow.height) {
      [this.view.x, this.view.y] = this.points.places.subarray(2 * i, 2 * i + 2);
      this.draw();
    }
    await this.point(i);
    if (this.near === i) announce(this.tip.textContent);
  }

  /** The nearest point within 45 degrees of a direction from the one pointed at; from none, the nearest to the middle. */
  toward(dx, dy) {
    if (!this.points || !this.scaleNow) return null;
    const { width, height } = this.scaleNow;
    const here = this.near ?? null;
    const [fromX, fromY] = here === null ? [width / 2, height / 2] : this.at(here);
    let best = null;
    let least = Infinity;
    for (let i = 0; i < this.points.n; i += 1) {
      if (i === here || !this.shows(i)) continue;
      const [atX, atY] = this.at(i);
      const [x, y] = [atX - fromX, atY - fromY];
      const along = x * dx + y * dy;
      if (here !== null && (along <= 0 || Math.abs(x * dy - y * dx) > along)) continue;
      const away = x * x + y * y;
      if (away < least) [best, least] = [i, away];
    }
    return best;
  }
}

/** Steps in memory from the middle of a dot to each of its pixels. */
function disc(radius, width) {
  const steps = [];
  const reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) if (dx * dx + dy * dy <= radius * radius) steps.push(dy * width + dx);
  }
  return steps;
}

/** A colour as a canvas holds it in memory. */
function packed(colour) {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return new Uint32Array(pen.getImageData(0, 0, 1, 1).data.buffer)[0];
}

/** The numbers of the points in an order of chance, so that no type hides the others where they overlap. */
function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

