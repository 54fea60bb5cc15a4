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
    const note = make("span", { className: "badge done", hidden: true });
    const meta = make("div", { className: "meta" },
      make("span", { className: "name", title: photo.id }, photo.id),
      badge(photo),
      note,
      make("span", { className: "chips" }, ...photo.classes.map(chip)),
      make("span", { className: "numbers" }, make("span", {}, photo.split), ...numbers(photo)));
    const node = make("article", { className: "card" }, frame, group, meta);
    node.dataset.number = number;
    choose(shown.layer);
    return { node, choose, again: () => view.show(own.key), frame, number, corrected: note };
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
    if (byId("corrections")) showCorrections();
    if (!list.length) byId("cards").append(make("p", { className: "empty" }, "No photo is like that."));
    const of = shown.list.length === photos.length ? "" : ` (of ${photos.length})`;
    byId("count").textContent = list.length ? `${from + 1}–${from + list.length} of ${shown.list.length} photo${shown.list.length === 1 ? "" : "s"}${of}` : `0 photos${of}`;
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

