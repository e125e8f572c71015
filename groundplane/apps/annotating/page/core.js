"use strict";
/* What the parts of the page share: the data, colours, masks. Names are data: they reach the page
   through textContent only. */
const groundplane = (() => {
  const NAME = 0, FAILED = 1, WIDTH = 2, HEIGHT = 3, FILE = 4, REGIONS = 5, REASON = 6;
  const STEP = 6; // numbers a region in a row: class, score * 1e4, left, top, right, bottom
  const waiting = new Map();

  /* The files of data call this: a page of a folder may load scripts, but fetch nothing. */
  function take(kind, number, rows) {
    const key = `${kind}-${number}`;
    const pending = waiting.get(key);
    if (pending) pending.done(rows);
  }

  function fetchRows(kind, number) {
    const key = `${kind}-${number}`;
    let pending = waiting.get(key);
    if (!pending) {
      pending = {};
      pending.promise = new Promise((done, failed) => {
        pending.done = done;
        const script = document.createElement("script");
        script.src = `data/${key}.js`;
        script.onerror = () => { waiting.delete(key); failed(new Error(`data/${key}.js cannot be read`)); };
        document.body.append(script);
      });
      waiting.set(key, pending);
    }
    return pending.promise;
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") made.className = value;
      else if (name === "text") made.textContent = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  /* Neighbouring classes lie far apart on the colour wheel; all are light enough for black text. */
  function colour(id) {
    if (id < 0) return "#c8ccd0";
    const light = [0.8, 0.88, 0.72][Math.floor(id / 8) % 3];
    return `oklch(${light} 0.16 ${((id * 137.508 + 145) % 360).toFixed(1)})`;
  }

  /* The regions of a row that the filters leave: their places in the row. */
  function shown(row, filter) {
    const flat = row[REGIONS], kept = [];
    for (let at = 0, place = 0; at < flat.length; at += STEP, place += 1) {
      if (flat[at + 1] < filter.least) continue;
      if (filter.label !== null && flat[at] !== filter.label) continue;
      kept.push(place);
    }
    return kept;
  }

  /* COCO's compressed runs: columns from the left, outside first. Five bits a sign, and from the
     third number on each is the difference to the one before the last. */
  function runsOf(text) {
    const runs = [];
    for (let at = 0; at < text.length;) {
      let value = 0, shift = 0, code = 0;
      do {
        code = text.charCodeAt(at) - 48;
        value += (code & 31) * 2 ** shift;
        shift += 5;
        at += 1;
      } while ((code & 32) && at < text.length);
      if (code & 16) value -= 2 ** shift;
      if (runs.length > 2) value += runs[runs.length - 2];
      runs.push(value);
    }
    return runs;
  }

  /* Paint a mask into an image of fewer pixels: of each column and row that is left, the nearest. */
  function paint(image, text, height, width, [red, green, blue]) {
    const runs = runsOf(text), right = width / image.width, down = height / image.height;
    const fill = (column, from, to) => {
      // Those columns of the image whose middle falls into this column of the mask.
      const first = Math.ceil(column / right - 0.5), last = Math.ceil((column + 1) / right - 0.5);
      const top = Math.ceil(from / down - 0.5), low = Math.ceil(to / down - 0.5);
      for (let x = first; x < last; x += 1) {
        for (let y = top; y < low; y += 1) {
          const at = 4 * (y * image.width + x);
          image.data[at] = red; image.data[at + 1] = green; image.data[at + 2] = blue;
          image.data[at + 3] = 255;
        }
      }
    };
    let begin = 0;
    runs.forEach((length, number) => {
      const end = begin + length;
      if (number % 2) {
        for (let at = begin; at < end;) {
          const column = Math.floor(at / height), stop = Math.min(end, (column + 1) * height);
          fill(column, at - column * height, stop - column * height);
          at = stop;
        }
      }
      begin = end;
    });
  }

  /* A colour of the page as red, green and blue. */
  function channels(name) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = name;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  }

  const count = (number, one, many = `${one}s`) =>
    `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  return {
    NAME, FAILED, WIDTH, HEIGHT, FILE, REGIONS, REASON, STEP,
    take, fetchRows, element, colour, shown, runsOf, paint, channels, count,
    label: (id) => (id < 0 ? "no class" : groundplane.meta.classes[id]),
    get: (id) => document.getElementById(id),
  };
})();
