"use strict";
/* One picture, large, with what was found in it. */
groundplane.viewer = (() => {
  const { get, element, colour, count, NAME, FAILED, WIDTH, HEIGHT, FILE, REGIONS, REASON, STEP } = groundplane;
  const dialog = get("viewer");
  const LONGEST = 1600; // of the canvas that masks are painted on
  const FEW = 8, SMALL = 0.005; // regions, and the share of the picture that is small
  let rows = [], order = [], at = -1, filter = null, details = null, lit = -1, turn = 0;
  let closed = () => {};

  function open(all, chosen, place, filters, onclose) {
    [rows, order, filter, closed] = [all, chosen, filters, onclose];
    show(place);
    if (!dialog.open) dialog.showModal();
    get("close").focus();
  }

  function show(place) {
    at = place;
    lit = -1;
    details = null;
    turn += 1;
    const number = order[at], row = rows[number], mine = turn;
    get("name").textContent = row[NAME];
    get("name").title = row[NAME];
    get("number").textContent = `${(at + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}`;
    get("back").disabled = at === 0;
    get("forth").disabled = at === order.length - 1;
    get("failure").hidden = !row[FAILED];
    get("toggles").hidden = Boolean(row[FAILED]);
    get("failure").textContent = row[FAILED] ? row[REASON] : "";
    const picture = get("picture");
    picture.hidden = !row[FILE];
    picture.removeAttribute("src");
    if (row[FILE]) picture.src = `pictures/${row[FILE]}.jpg`;
    picture.alt = row[NAME];
    get("lack").hidden = Boolean(row[FILE]);
    get("frame").hidden = !row[WIDTH];
    get("frame").style.setProperty("--ratio", row[WIDTH] ? row[WIDTH] / row[HEIGHT] : 4 / 3);
    draw();
    history.replaceState(null, "", `#${number + 1}`);
    groundplane.fetchRows("regions", Math.floor(number / groundplane.meta.detail)).then(
      (some) => {
        if (mine !== turn) return; // another picture was opened meanwhile
        details = some[number % groundplane.meta.detail];
        draw();
      },
      (error) => { if (mine === turn) tell([["", error.message]]); },
    );
    for (const next of [at + 1, at - 1]) {
      const file = next >= 0 && next < order.length && rows[order[next]][FILE];
      if (file) new Image().src = `pictures/${file}.jpg`;
    }
  }

  function draw() {
    const row = rows[order[at]], kept = groundplane.shown(row, filter), all = row[REGIONS].length / STEP;
    const left = all - kept.length;
    get("counted").textContent = row[FAILED] ? "" :
      count(kept.length, "region") + (left ? `; ${left.toLocaleString("en")} more left out by the filters` : "");
    drawBoxes(row, kept);
    drawMasks(row, kept);
    drawList(row, kept);
    tell(facts(row));
  }

  function drawBoxes(row, kept) {
    const flat = row[REGIONS], area = (p) => {
      const [x0, y0, x1, y1] = flat.slice(p * STEP + 2, p * STEP + 6);
      return (x1 - x0) * (y1 - y0);
    };
    const holder = get("boxes");
    holder.hidden = !get("show-boxes").checked;
    // Large ones first, so that small ones lie on top and can be pointed at.
    holder.replaceChildren(...[...kept].sort((a, b) => area(b) - area(a)).map((place) => {
      const [id, score, x0, y0, x1, y1] = flat.slice(place * STEP, place * STEP + STEP);
      // Where many are drawn, the labels of small ones would hide what they name.
      const small = kept.length > FEW && area(place) < SMALL * row[WIDTH] * row[HEIGHT];
      const box = element("div", { class: small ? "box small" : "box" });
      const part = (value, whole) => `${(100 * value) / whole}%`;
      Object.assign(box.style, {
        left: part(x0, row[WIDTH]), top: part(y0, row[HEIGHT]), borderColor: colour(id),
        width: part(x1 - x0, row[WIDTH]), height: part(y1 - y0, row[HEIGHT]),
      });
      box.dataset.place = place;
      if (get("show-names").checked) {
        const text = `${groundplane.label(id)} ${(score / 1e4).toFixed(2)}`;
        const tag = element("span", { class: y0 < 0.05 * row[HEIGHT] ? "tag inside" : "tag", text });
        tag.style.background = colour(id);
        box.append(tag);
      }
      box.addEventListener("click", () => light(lit === place ? -1 : place, true));
      return box;
    }));
    mark();
  }

  function drawMasks(row, kept) {
    const canvas = get("masks"), masks = details && details[4];
    canvas.hidden = !masks || !get("show-masks").checked;
    if (canvas.hidden) return;
    const scale = Math.min(1, LONGEST / Math.max(row[WIDTH], row[HEIGHT]));
    canvas.width = Math.max(1, Math.round(row[WIDTH] * scale));
    canvas.height = Math.max(1, Math.round(row[HEIGHT] * scale));
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    for (const place of kept) {
      if (!masks[place] || (lit >= 0 && lit !== place)) continue;
      const rgb = groundplane.channels(colour(row[REGIONS][place * STEP]));
      groundplane.paint(image, masks[place], row[HEIGHT], row[WIDTH], rgb);
    }
    context.putImageData(image, 0, 0);
  }

  function drawList(row, kept) {
    const flat = row[REGIONS];
    get("regions").replaceChildren(...kept.map((place) => {
      const id = flat[place * STEP];
      const dot = element("span", { class: "dot" });
      dot.style.background = colour(id);
      const button = element("button", { type: "button", "aria-pressed": "false" }, dot,
        element("span", { class: "text", text: groundplane.label(id) }),
        element("span", { class: "value", text: (flat[place * STEP + 1] / 1e4).toFixed(4) }));
      const more = details ? remarks(place) : [];
      if (more.length) button.append(element("span", { class: "more", text: more.join(" · ") }));
      button.dataset.place = place;
      button.addEventListener("click", () => light(lit === place ? -1 : place, false));
      return element("li", {}, button);
    }));
    mark();
  }

  function remarks(place) {
    const [ids, prompts, tracks, sources, , attributes] = details, told = [ids[place]];
    const prompt = prompts[place] < 0 ? "" : groundplane.meta.prompts[prompts[place]];
    if (prompt && prompt !== groundplane.label(rows[order[at]][REGIONS][place * STEP])) told.push(`asked for "${prompt}"`);
    if (tracks && tracks[place] >= 0) told.push(`track ${tracks[place]}`);
    if (sources && sources[place]) told.push(`by ${sources[place]}`);
    for (const [name, value] of (attributes && attributes[place]) || []) told.push(`${name}: ${value}`);
    return told;
  }

  function facts(row) {
    const list = row[WIDTH] ? [["Size", `${row[WIDTH]} × ${row[HEIGHT]} pixels`]] : [];
    if (!row[FILE] && row[WIDTH]) list.push(["Picture", "not to be had when this page was made"]);
    if (!details) return list;
    const [caption, note, hash, time, cannot] = details[6];
    if (caption) list.push(["Caption", caption]);
    if (note) list.push(["Note", note]);
    if (time !== null) list.push(["Time", `${time} s`]);
    if (cannot.length) list.push(["Not looked for", cannot.map((p) => groundplane.meta.prompts[p]).join(", ")]);
    if (hash) list.push(["SHA-256", hash]);
    return list;
  }

  function tell(list) {
    get("facts").replaceChildren(...list.flatMap(([name, value]) =>
      [element("dt", { text: name }), element("dd", { text: value })]));
  }

  function light(place, scroll) {
    lit = place;
    mark();
    drawMasks(rows[order[at]], groundplane.shown(rows[order[at]], filter));
    const entry = get("regions").querySelector(`[data-place="${place}"]`);
    if (scroll && entry) entry.scrollIntoView({ block: "nearest" });
  }

  function mark() {
    for (const box of get("boxes").children) {
      box.classList.toggle("lit", Number(box.dataset.place) === lit);
      box.classList.toggle("faint", lit >= 0 && Number(box.dataset.place) !== lit);
    }
    for (const entry of get("regions").querySelectorAll("button")) {
      entry.setAttribute("aria-pressed", String(Number(entry.dataset.place) === lit));
    }
  }

  function step(by) {
    if (at + by >= 0 && at + by < order.length) show(at + by);
  }

  get("back").addEventListener("click", () => step(-1));
  get("forth").addEventListener("click", () => step(1));
  get("close").addEventListener("click", () => dialog.close());
  for (const id of ["show-boxes", "show-masks", "show-names"]) get(id).addEventListener("change", draw);
  dialog.addEventListener("close", () => {
    turn += 1;
    history.replaceState(null, "", "#");
    closed(order[at]);
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
  return { open };
})();
