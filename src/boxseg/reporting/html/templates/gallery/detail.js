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
    if (byId("corrections") && photo.marks) nodes.push(wrongChoice(photos.indexOf(photo)));
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
        make("td", {}, mark.score.toFixed(2)), make("td", {}, mark.reason),
        make("td", {}, deedChoice(photos.indexOf(photo), number)));
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
      make("thead", {}, make("tr", {}, ...["mask", "score", "why", "do"].map((name) => make("th", { scope: "col" }, name)))),
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

