"use strict";
// The report's only script: colours, the gallery and its detail view. Plain JavaScript, no build step.
// Text of the data goes through textContent alone, so a name is never markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function draw(tag, attributes = {}, text = "") {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    return node;
  }

  const THEMES = { "": ["light", "◐", "as the system"], light: ["dark", "☀", "light"], dark: ["", "☾", "dark"] };
  byId("theme").addEventListener("click", () => {
    const theme = THEMES[document.documentElement.dataset.theme ?? ""][0];
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    byId("theme").textContent = THEMES[theme][1];
    byId("theme").setAttribute("aria-label", `Colours: ${THEMES[theme][2]}`);
  });

  if (!byId("index")) return; // a run without photos

  const PAGE = 24;
  const { classes, layers, photos } = read("index");
  const shown = { layer: "", boxes: false, marks: false, page: 0, list: [], open: -1 };
  const percent = (share) => (share === undefined || share === null ? "–" : (100 * share).toFixed(1));
  const layerNames = Object.fromEntries(layers.map((layer) => [layer.key, layer.name]));

  // ---- pictures: a photo, a layer over it, boxes over both --------------------------------------------------

  // Pictures of a photo are parsed when it comes on the screen, and dropped when it leaves.
  const pictures = (number) => read(`photo-${number}`);

  function hasLayer(number, files, key) {
    return key === "photo" || (key === "boxes" ? photos[number].boxes.length > 0 : key in files.pictures);
  }

  // Not every photo has every layer: another one takes its place, and the photo's own buttons say which.
  function instead(number, files, key) {
    const wishes = [key, "y_crf", "labels", "prediction", "ground_truth", "boxes", "photo"];
    return wishes.find((wish) => hasLayer(number, files, wish));
  }

  function boxDrawing(photo, lines) {
    const [width, height] = photo.size;
    const size = Math.max(width, height) / lines;
    const drawing = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    const numbers = photo.boxes.map((_, number) => number);
    numbers.sort((a, b) => area(photo.boxes[b]) - area(photo.boxes[a])); // small ones on top, for the pointer
    for (const number of numbers) {
      const [x1, y1, x2, y2, label] = photo.boxes[number];
      const mark = photo.marks?.[number];
      const edges = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
      const place = { x: x1 + size * 0.2, y: Math.max(y1 + size, size), style: `font-size:${size}px` };
      const group = draw("g", { class: mark?.reason ? "box doubt" : "box", "data-box": number });
      if (mark) {
        group.append(draw("title", {}, `${classes[label].name}: ${mark.reason ? `${mark.reason}, ` : ""}${mark.note}`));
        group.append(draw("path", { class: "own", d: mark.outline, fill: classes[label].colour }));
      }
      group.append(draw("rect", { ...edges, class: "edge" }));
      group.append(draw("rect", { ...edges, class: "ink", stroke: classes[label].colour }));
      group.append(draw("text", place, mark?.reason ? `${classes[label].name}: ${mark.reason}` : classes[label].name));
      drawing.append(group);
    }
    return drawing;
  }

  function picture(number, files, sources, lines) {
    const photo = photos[number];
    const ground = make("img", { src: sources.photo ?? files.pictures.photo, alt: "", draggable: false });
    const layer = make("img", { className: "layer", alt: "", draggable: false, hidden: true });
    const boxes = boxDrawing(photo, lines); // so many lines of text would fill it
    const node = make("div", { className: "picture" }, ground, layer, boxes);
    function show(key) {
      const source = key === "photo" || key === "boxes" ? null : sources[key] ?? files.pictures[key];
      layer.hidden = !source;
      if (source) layer.src = source;
      const all = key === "boxes" || shown.boxes;
      boxes.toggleAttribute("hidden", !all && (!shown.marks || key === "photo"));
      boxes.classList.toggle("some", !all); // only the boxes whose masks are worth a look
      node.dataset.layer = key;
    }
    return { node, show };
  }

  // Radio buttons: one tab stop, arrows choose, and every screen reader knows them.
  function layerSwitch(name, available, choose, short) {
    const inputs = {};
    const labels = layers.map((layer) => {
      const input = make("input", { type: "radio", name, value: layer.key, disabled: !available(layer.key) });
      input.setAttribute("aria-label", layer.name);
      input.addEventListener("change", () => choose(layer.key));
      inputs[layer.key] = input;
      return make("label", { title: layer.help }, input, make("span", {}, short ? layer.short : layer.name));
    });
    return { labels, mark: (key) => { for (const [other, input] of Object.entries(inputs)) input.checked = other === key; } };
  }

  function chip(label) {
    const colour = make("i");
    colour.style.background = classes[label].colour;
    return make("span", { className: "chip" }, colour, classes[label].name);
  }

  function numbers(photo) {
    const items = [];
    if (photo.agreement) items.push(["|S|", photo.agreement[0]]);
    for (const layer of layers) if (layer.key in photo.iou) items.push([`IoU ${layer.short}`, photo.iou[layer.key].mean]);
    return items.map(([name, value]) => make("span", {}, `${name} `, make("b", {}, percent(value))));
  }

  // The boxes of a photo, those first whose masks need a look the most.
  function ranked(photo) {
    const rank = (number) => [photo.marks[number].reason ? 0 : 1, photo.marks[number].score];
    const numbers = photo.boxes.map((_, number) => number);
    return numbers.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]);
  }

  function badge(photo) {
    if (!photo.badge) return null;
    const number = ranked(photo)[0], mark = photo.marks[number];
    const title = `The worst: ${classes[photo.boxes[number][4]].name}, ${mark.reason}, ${mark.note}`;
    return make("span", { className: "badge", title }, photo.badge);
  }

  // ---- cards ---------------------------------------------------------------------------------------------------

  let cards = [];

  function card(number) {
    const photo = photos[number];
    const files = pictures(number);
    const view = picture(number, files, {}, 22);
    view.node.style.aspectRatio = `${photo.size[0]} / ${photo.size[1]}`;
    view.node.style[photo.size[0] / photo.size[1] >= 4 / 3 ? "width" : "height"] = "100%";
    const frame = make("button", { type: "button", className: "frame" }, view.node);
    frame.setAttribute("aria-label", `Open ${photo.id}`);
    frame.addEventListener("click", () => openDetail(number));
    const own = { key: "" };
    const choose = (key) => { own.key = instead(number, files, key); view.show(own.key); tabs.mark(own.key); };
    const tabs = layerSwitch(`layer-${number}`, (key) => hasLayer(number, files, key), choose, true);
    const group = make("div", { className: "switch", role: "radiogroup" }, ...tabs.labels);
    group.setAttribute("aria-label", `Show of ${photo.id}`);
    const meta = make("div", { className: "meta" },
      make("span", { className: "name", title: photo.id }, photo.id),
      badge(photo),
      make("span", { className: "chips" }, ...photo.classes.map(chip)),
      make("span", { className: "numbers" }, make("span", {}, photo.split), ...numbers(photo)));
    const node = make("article", { className: "card" }, frame, group, meta);
    node.dataset.number = number;
    choose(shown.layer);
    return { node, choose, again: () => view.show(own.key), frame, number };
  }

  // ---- sorting, filtering, paging ------------------------------------------------------------------------------

  function value(photo, key) {
    const label = byId("class").value;
    if (key === "agreement") return photo.agreement?.[0];
    if (key === "inside") return photo.agreement?.[1];
    if (key === "objects") return photo.boxes.length;
    if (key === "masks") return photo.look ?? undefined;
    if (key === "class") return photo.classes[0]; // in the data set's order
    const scores = photo.iou[key.slice(4)];
    return scores && (label ? scores[label] : scores.mean); // of the class that is asked for
  }

  function select() {
    const key = byId("sort").value;
    const most = byId("most").value === "" ? Infinity : Number(byId("most").value) / 100;
    const label = byId("class").value, split = byId("split").value, name = byId("name").value.trim().toLowerCase();
    const limited = !["", "masks", "name", "class", "objects"].includes(key);
    byId("most").disabled = !limited;
    const fits = (photo) =>
      (!label || photo.classes.includes(Number(label))) &&
      (!split || photo.split === split) &&
      photo.id.toLowerCase().includes(name) &&
      (!limited || most === Infinity || (value(photo, key) ?? Infinity) <= most + 1e-9);
    const list = photos.map((_, number) => number).filter((number) => fits(photos[number]));
    const sign = byId("order").dataset.falling ? -1 : 1;
    const text = new Intl.Collator(undefined, { numeric: true });
    if (key === "name") list.sort((a, b) => sign * text.compare(photos[a].id, photos[b].id));
    else if (key === "" ) { if (sign < 0) list.reverse(); }
    else list.sort((a, b) => {
      const [one, two] = [value(photos[a], key), value(photos[b], key)];
      if (one === undefined || two === undefined) return (one === undefined) - (two === undefined) || a - b; // unknown last
      return sign * (one - two) || (key === "class" && text.compare(photos[a].id, photos[b].id)) || a - b;
    });
    shown.list = list;
    shown.page = 0;
    showPage();
  }

  function showPage() {
    const pages = Math.max(1, Math.ceil(shown.list.length / PAGE));
    shown.page = Math.min(Math.max(0, shown.page), pages - 1);
    const from = shown.page * PAGE;
    const list = shown.list.slice(from, from + PAGE);
    cards = list.map(card);
    byId("cards").replaceChildren(...cards.map((item) => item.node));
    if (!list.length) byId("cards").append(make("p", { className: "empty" }, "No photo is like that."));
    const of = shown.list.length === photos.length ? "" : ` (of ${photos.length})`;
    byId("count").textContent = list.length ? `${from + 1}–${from + list.length} of ${shown.list.length} photos${of}` : `0 photos${of}`;
    for (const node of document.querySelectorAll("[data-page]")) node.textContent = `${shown.page + 1} / ${pages}`;
    for (const node of document.querySelectorAll("[data-step]")) {
      node.disabled = node.dataset.step < 0 ? shown.page === 0 : shown.page === pages - 1;
    }
  }

  function step(by, top) {
    shown.page += by;
    showPage();
    if (top) byId("tools").scrollIntoView();
  }

  function showLayer(key) {
    shown.layer = key;
    main.mark(key);
    for (const item of cards) item.choose(key);
  }

  // `boxes`: all boxes on top; `marks`: those whose masks are worth a look.
  function showOnTop(id, on) {
    shown[id] = on;
    byId(id).checked = on;
    for (const item of cards) item.again();
    if (detail) detail.view.show(detail.key);
  }

  function showOpacity(share) {
    const value = Math.min(100, Math.max(0, share));
    document.documentElement.style.setProperty("--opacity", value / 100);
    byId("opacity").value = byId("detail-opacity").value = value;
  }

  // ---- detail view ---------------------------------------------------------------------------------------------

  let detail = null;
  const stage = byId("stage"), dialog = byId("detail");

  function openDetail(number) {
    const files = pictures(number), photo = photos[number];
    const view = picture(number, files, files.originals, 45);
    const choose = (key) => { detail.key = instead(number, files, key); view.show(detail.key); tabs.mark(detail.key); };
    const tabs = layerSwitch("layer-detail", (key) => hasLayer(number, files, key), (key) => { detail.wish = key; choose(key); }, false);
    const wish = detail?.wish ?? cards.find((item) => item.number === number)?.node.querySelector(".picture").dataset.layer;
    detail = { number, view, choose, key: "", wish: wish ?? shown.layer, zoom: 1, x: 0, y: 0 };
    shown.open = shown.list.indexOf(number);
    byId("detail-layers").replaceChildren(...tabs.labels);
    byId("detail-name").textContent = photo.id;
    byId("detail-place").textContent = `${shown.open + 1} / ${shown.list.length}`;
    for (const node of dialog.querySelectorAll("[data-go]")) {
      node.disabled = !(shown.open + Number(node.dataset.go) in shown.list);
    }
    byId("side").replaceChildren(...facts(photo, view.node));
    stage.replaceChildren(view.node);
    choose(detail.wish);
    if (!dialog.open) { dialog.showModal(); stage.focus(); }
    fit();
  }

  function facts(photo, node) {
    const about = [`${photo.size[0]} × ${photo.size[1]} pixels`, photo.split, `${photo.boxes.length} box${photo.boxes.length === 1 ? "" : "es"}`];
    const nodes = [make("div", {}, about.join(" · "))];
    if (photo.badge) nodes.push(make("div", {}, badge(photo)));
    if (photo.agreement) {
      nodes.push(make("div", {}, "The labels agree on ", make("b", {}, `${percent(photo.agreement[0])} %`),
        " of the photo", ...(photo.boxes.length ? [", ", make("b", {}, `${percent(photo.agreement[1])} %`), " inside boxes"] : [])));
    }
    if (photo.marks?.length) nodes.push(masks(photo, node));
    const scored = layers.filter((layer) => layer.key in photo.iou);
    if (scored.length) nodes.push(scores(photo, scored));
    else nodes.push(make("div", { className: "chips" }, ...photo.classes.map(chip)));
    return nodes;
  }

  // A line for each box: a pointer or the focus on it shows its mask alone, in a picture of the photo.
  function masks(photo, node) {
    const line = (number) => {
      const mark = photo.marks[number];
      const row = make("tr", { className: mark.reason ? "doubt" : "", tabIndex: 0, title: mark.note },
        make("th", { scope: "row" }, chip(photo.boxes[number][4])),
        make("td", {}, mark.score.toFixed(2)), make("td", {}, mark.reason));
      const show = (on) => {
        node.classList.toggle("alone", on);
        node.querySelector(`[data-box="${number}"]`).classList.toggle("on", on);
      };
      for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
        row.addEventListener(name, () => show(on));
      }
      return row;
    };
    return make("table", { className: "masks" },
      make("thead", {}, make("tr", {}, ...["mask", "score", "why"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...ranked(photo).map(line)));
  }

  function scores(photo, scored) {
    const rows = [["mean", "mean"], ...classes.map((_, label) => [String(label), label])]
      .filter(([key]) => scored.some((layer) => photo.iou[layer.key][key] !== undefined));
    return make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "IoU, %"), ...scored.map((layer) => make("th", { scope: "col", title: layer.name }, layer.short)))),
      make("tbody", {}, ...rows.map(([key, label]) => make("tr", {},
        make("th", { scope: "row" }, label === "mean" ? "mean" : chip(label)),
        ...scored.map((layer) => make("td", {}, percent(photo.iou[layer.key][key])))))));
  }

  function place() {
    const { node } = detail.view;
    const { clientWidth: w, clientHeight: h } = stage;
    const [width, height] = [node.offsetWidth * detail.zoom, node.offsetHeight * detail.zoom];
    // A picture smaller than the stage is centred, a larger one covers it.
    detail.x = width <= w ? (w - width) / 2 : Math.min(0, Math.max(w - width, detail.x));
    detail.y = height <= h ? (h - height) / 2 : Math.min(0, Math.max(h - height, detail.y));
    node.style.transform = `translate(${detail.x}px, ${detail.y}px) scale(${detail.zoom})`;
    byId("zoom").textContent = `${Math.round(100 * detail.zoom)} %`;
  }

  function fit() {
    if (!detail || !dialog.open) return;
    const [width, height] = photos[detail.number].size;
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    detail.view.node.style.width = `${width * scale}px`;
    detail.view.node.style.height = `${height * scale}px`;
    detail.zoom = 1;
    place();
  }

  function zoomBy(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const zoom = Math.min(32, Math.max(1, detail.zoom * factor));
    const by = zoom / detail.zoom;
    [detail.x, detail.y, detail.zoom] = [x - by * (x - detail.x), y - by * (y - detail.y), zoom];
    place();
  }

  function move(x, y) {
    detail.x += x;
    detail.y += y;
    place();
  }

  function go(by) {
    const next = shown.open + by;
    if (!(next in shown.list)) return;
    openDetail(shown.list[next]);
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const edge = stage.getBoundingClientRect();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - edge.left, event.clientY - edge.top);
  }, { passive: false });

  // One pointer drags, two pinch.
  const pointers = new Map();
  const drop = (event) => pointers.delete(event.pointerId);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  stage.addEventListener("pointerup", drop);
  stage.addEventListener("pointercancel", drop);
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (!other) return move(now[0] - before[0], now[1] - before[1]);
    const edge = stage.getBoundingClientRect();
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    zoomBy(apart(now) / apart(before), (now[0] + other[0]) / 2 - edge.left, (now[1] + other[1]) / 2 - edge.top);
  });
  stage.addEventListener("dblclick", (event) => {
    const edge = stage.getBoundingClientRect();
    if (detail.zoom > 1) fit();
    else zoomBy(3, event.clientX - edge.left, event.clientY - edge.top);
  });
  window.addEventListener("resize", fit);
  dialog.addEventListener("close", () => {
    const number = detail.number;
    detail = null;
    pointers.clear();
    const at = Math.floor(shown.list.indexOf(number) / PAGE);
    if (at !== shown.page) { shown.page = at; showPage(); } // the page of the photo that was looked at last
    cards.find((item) => item.number === number)?.frame.focus();
  });

  // ---- the tools -----------------------------------------------------------------------------------------------

  function option(value, text) { return make("option", { value }, text); }

  const counts = classes.map((_, label) => photos.filter((photo) => photo.classes.includes(label)).length);
  byId("class").append(option("", "all"), ...classes.map((item, label) => [item, label])
    .filter(([, label]) => counts[label]).map(([item, label]) => option(String(label), `${item.name} (${counts[label]})`)));
  const splits = [...new Set(photos.map((photo) => photo.split))];
  byId("split").append(option("", "all"), ...splits.map((split) => option(split, split)));
  byId("split").parentElement.hidden = splits.length < 2;
  const agreed = photos.some((photo) => photo.agreement);
  const scored = layers.filter((layer) => photos.some((photo) => layer.key in photo.iou));
  const marked = photos.some((photo) => photo.marks);
  byId("marks").parentElement.hidden = !marked;
  byId("sort").append(...(marked ? [option("masks", "masks to look at first")] : []),
    option("", "data set"), option("name", "name"), option("class", "class"),
    ...(agreed ? [option("agreement", "agreement |S|"), option("inside", "agreement inside boxes")] : []),
    ...scored.map((layer) => option(`iou-${layer.key}`, `IoU of ${layerNames[layer.key]}`)),
    option("objects", "number of boxes"));

  const main = layerSwitch("layer", () => true, showLayer, false);
  byId("layers").append(...main.labels);
  for (const id of ["class", "split", "sort"]) byId(id).addEventListener("change", select);
  for (const id of ["most", "name"]) byId(id).addEventListener("input", select);
  for (const id of ["boxes", "marks"]) byId(id).addEventListener("change", (event) => showOnTop(id, event.target.checked));
  for (const id of ["opacity", "detail-opacity"]) byId(id).addEventListener("input", (event) => showOpacity(Number(event.target.value)));
  function setOrder(falling) {
    byId("order").textContent = falling ? "↓" : "↑";
    byId("order").setAttribute("aria-label", falling ? "Highest first" : "Lowest first");
    if (falling) byId("order").dataset.falling = "1";
    else delete byId("order").dataset.falling;
  }
  byId("order").addEventListener("click", () => { setOrder(!byId("order").dataset.falling); select(); });
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  const first = ["y_crf", "labels", "prediction", "boxes"].find((key) => layers.some((layer) => layer.key === key)) ?? layers[0].key;
  function start() {
    setOrder(false);
    showOpacity(70);
    shown.boxes = byId("boxes").checked = false; // browsers restore fields of a page that is loaded again
    shown.marks = byId("marks").checked = marked;
    shown.layer = first;
    main.mark(first);
    select();
  }
  byId("tools").addEventListener("reset", () => setTimeout(start)); // after the browser has cleared the fields
  for (const node of document.querySelectorAll("[data-step]")) {
    node.addEventListener("click", () => step(Number(node.dataset.step), node.closest(".cards ~ .pager")));
  }
  for (const node of dialog.querySelectorAll("[data-go]")) node.addEventListener("click", () => go(Number(node.dataset.go)));
  for (const node of dialog.querySelectorAll("[data-zoom]")) {
    node.addEventListener("click", () => (Number(node.dataset.zoom) ? zoomBy(Number(node.dataset.zoom)) : fit()));
  }
  byId("close").addEventListener("click", () => dialog.close());

  const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input[type=number], input[type=search], select");
    if (typing) return;
    const key = event.key, inside = dialog.open;
    const layer = layers[Number(key) - 1];
    if (/^[1-9]$/.test(key) && layer) {
      if (inside) { detail.wish = layer.key; detail.choose(layer.key); } else showLayer(layer.key);
    } else if (key === "b") showOnTop("boxes", !shown.boxes);
    else if (key === "m" && marked) showOnTop("marks", !shown.marks);
    else if (key === "o" || key === "O") showOpacity(Number(byId("opacity").value) + (key === "o" ? 10 : -10));
    else if (key === "n" || key === "p") inside ? go(key === "n" ? 1 : -1) : step(key === "n" ? 1 : -1, true);
    else if (key === "/" && !inside) byId("name").focus();
    else if (inside && (key === "+" || key === "=")) zoomBy(1.5);
    else if (inside && key === "-") zoomBy(1 / 1.5);
    else if (inside && key === "0") fit();
    else if (inside && key in ARROWS && event.target === stage) move(60 * ARROWS[key][0], 60 * ARROWS[key][1]);
    else return;
    event.preventDefault();
  });

  start();
})();
