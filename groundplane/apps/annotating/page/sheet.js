"use strict";
/* The contact sheet: filters, pages, thumbnails. */
(() => {
  const { get, element, colour, count, NAME, FAILED, WIDTH, HEIGHT, FILE, REGIONS, REASON, STEP } = groundplane;
  const PER_PAGE = 120, MOST_LABELS = 30;
  const rows = [];
  let filter = { least: 0, label: null }, order = [], page = 0, totals = new Map();

  function number(id) {
    return get(id).value === "" ? null : Number(get(id).value);
  }

  /* Which rows the filters leave, in the order that is asked for. */
  function choose() {
    filter = { least: Math.round(Number(get("score").value) * 1e4), label: number("label") };
    const query = get("query").value.trim().toLowerCase(), status = get("status").value;
    const keys = new Map();
    order = [];
    rows.forEach((row, place) => {
      if (query && !row[NAME].toLowerCase().includes(query)) return;
      const kept = row[FAILED] ? [] : groundplane.shown(row, filter);
      if (filter.label !== null && !kept.length) return;
      const state = row[FAILED] ? "failed" : kept.length ? "regions" : "empty";
      if (status && status !== state) return;
      order.push(place);
      keys.set(place, sortKey(row, kept));
    });
    if (get("order").value !== "name") order.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
    page = 0;
    draw();
  }

  function sortKey(row, kept) {
    if (get("order").value === "most") return -kept.length;
    return kept.reduce((least, place) => Math.min(least, row[REGIONS][place * STEP + 1]), Infinity);
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(order.length / PER_PAGE));
    const some = order.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    get("sheet").replaceChildren(...some.map((place, index) => tile(place, page * PER_PAGE + index)));
    get("pages").hidden = pages === 1;
    get("before").disabled = page === 0;
    get("after").disabled = page === pages - 1;
    get("place").textContent = `Page ${page + 1} of ${pages}`;
    const loading = rows.length < groundplane.meta.pictures ? `; ${count(rows.length, "picture")} read so far` : "";
    get("told").textContent = (order.length ? `${count(order.length, "picture")} shown` : "No picture is left by these filters") + loading;
    get("least").textContent = Number(get("score").value).toFixed(2);
    for (const button of get("legend").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.id) === filter.label));
    }
  }

  function tile(place, at) {
    const row = rows[place], kept = row[FAILED] ? [] : groundplane.shown(row, filter);
    const thumb = element("div", { class: "thumb" });
    if (row[FILE]) {
      thumb.append(element("img", { src: `thumbs/${row[FILE]}.jpg`, loading: "lazy", decoding: "async", alt: "" }));
    }
    if (row[FAILED]) thumb.append(...(row[FILE] ? [] : [element("span", { class: "why", text: row[REASON] })]));
    else thumb.append(...(row[FILE] ? [] : [element("span", { class: "why", text: "no picture" })]), boxes(row, kept));
    const button = element("button", { type: "button" }, thumb, element("div", { class: "under" },
      element("span", { class: "text", text: row[NAME].split("/").pop().slice(-300) || row[NAME].slice(-300), title: row[NAME].slice(-1000) }),
      element("span", { class: "count", text: row[FAILED] ? "failed" : labels(row, kept) })));
    button.addEventListener("click", () => groundplane.viewer.open(rows, order, at, filter, back));
    button.dataset.at = at;
    return element("li", { class: row[FAILED] ? "failed" : "done" }, button);
  }

  /* After the viewer: to the page and the tile of the picture that it showed last. */
  function back(place) {
    const at = order.indexOf(place);
    if (at < 0) return;
    if (Math.floor(at / PER_PAGE) !== page) {
      page = Math.floor(at / PER_PAGE);
      draw();
    }
    const found = get("sheet").querySelector(`[data-at="${at}"]`);
    if (found) { found.focus(); found.scrollIntoView({ block: "nearest" }); }
  }

  function boxes(row, kept) {
    const make = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
    const svg = make("svg");
    svg.setAttribute("viewBox", `0 0 ${row[WIDTH]} ${row[HEIGHT]}`);
    svg.setAttribute("aria-hidden", "true");
    const flat = row[REGIONS];
    for (const place of kept.slice(0, 60).reverse()) {
      const [id, , x0, y0, x1, y1] = flat.slice(place * STEP, place * STEP + STEP);
      for (const kind of ["halo", "edge"]) {
        const rect = make("rect");
        rect.setAttribute("class", kind);
        for (const [name, value] of [["x", x0], ["y", y0], ["width", x1 - x0], ["height", y1 - y0]]) rect.setAttribute(name, value);
        if (kind === "edge") rect.style.stroke = colour(id);
        svg.append(rect);
      }
    }
    return svg;
  }

  function labels(row, kept) {
    if (!kept.length) return "no region";
    const counts = new Map();
    for (const place of kept) {
      const id = row[REGIONS][place * STEP];
      counts.set(id, (counts.get(id) || 0) + 1);
    }
    const told = [...counts].slice(0, 4).map(([id, times]) => `${groundplane.label(id).slice(0, 40)} ${times}`);
    return told.join(", ") + (counts.size > 4 ? ", ..." : "");
  }

  function legend() {
    const ids = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a) || a - b);
    get("legend").replaceChildren(...ids.slice(0, MOST_LABELS).map((id) => {
      const dot = element("span", { class: "dot" });
      dot.style.background = colour(id);
      const button = element("button", { type: "button", "aria-pressed": "false" }, dot,
        element("span", { class: "text", text: groundplane.label(id) }), totals.get(id).toLocaleString("en"));
      button.dataset.id = id;
      button.addEventListener("click", () => {
        get("label").value = filter.label === id ? "" : String(id);
        choose();
      });
      return element("li", {}, button);
    }));
    if (ids.length > MOST_LABELS) {
      get("legend").append(element("li", { class: "more", text: `and ${ids.length - MOST_LABELS} more, under Label` }));
    }
    const chosen = get("label").value;
    get("label").replaceChildren(element("option", { value: "", text: "any" }), ...[...ids].sort((a, b) => a - b).map((id) =>
      element("option", { value: id, text: `${groundplane.label(id)} (${totals.get(id).toLocaleString("en")})` })));
    get("label").value = totals.has(Number(chosen)) ? chosen : "";
  }

  function add(some) {
    for (const row of some) {
      rows.push(row);
      for (let at = 0; at < row[REGIONS].length; at += STEP) {
        const id = row[REGIONS][at];
        totals.set(id, (totals.get(id) || 0) + 1);
      }
    }
  }

  function turnTo(next) {
    page = next;
    draw();
    get("told").scrollIntoView({ block: "start" });
  }

  async function begin() {
    groundplane.meta = await groundplane.fetchRows("meta", 0);
    const meta = groundplane.meta;
    document.title = get("title").textContent = meta.title;
    get("summary").textContent = meta.summary;
    for (let shard = 0; shard < meta.shards; shard += 1) {
      add(await groundplane.fetchRows("index", shard));
      if (shard === 0 || shard === meta.shards - 1) { legend(); choose(); }
    }
    const wanted = Number(location.hash.slice(1)) - 1, at = order.indexOf(wanted);
    if (at >= 0) groundplane.viewer.open(rows, order, at, filter, back);
  }

  for (const id of ["query", "score"]) get(id).addEventListener("input", choose);
  for (const id of ["label", "status", "order"]) get(id).addEventListener("change", choose);
  get("filters").addEventListener("reset", () => setTimeout(choose));
  get("filters").addEventListener("submit", (event) => event.preventDefault());
  get("before").addEventListener("click", () => turnTo(page - 1));
  get("after").addEventListener("click", () => turnTo(page + 1));
  begin().catch((error) => { get("told").textContent = `This page is incomplete: ${error.message}`; });
})();
