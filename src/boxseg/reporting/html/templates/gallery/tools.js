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
    ...(agreed ? [option("agreement", "agreement of the labels"), option("inside", "agreement inside boxes")] : []),
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
  if (byId("corrections")) {
    recallCorrections();
    byId("save").addEventListener("click", saveCorrections);
    byId("load").addEventListener("change", (event) => { loadCorrections(event.target.files[0]); event.target.value = ""; });
    byId("clear").addEventListener("click", () => { corrections.clear(); elsewhere = {}; keepCorrections(); showCorrections(); });
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
