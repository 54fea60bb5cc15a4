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

  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

  // Where a text stands in its box: in a corner that no smaller box touches. Null if it has no place.
  function corner(photo, number, text, size) {
    const box = photo.boxes[number], [x1, y1, x2, y2] = box;
    const width = 0.6 * size * text.length + 0.4 * size, height = 1.25 * size;
    if (width > x2 - x1 || 2 * height > y2 - y1) return null;
    const smaller = photo.boxes.filter((other) => area(other) < area(box));
    const corners = [[x1, y1], [x1, y2 - height], [x2 - width, y1], [x2 - width, y2 - height]];
    const free = ([x, y]) => !smaller.some((other) => meet([x, y, x + width, y + height], other));
    return corners.find(free) ?? null;
  }

  function boxDrawing(photo, lines) {
    const [width, height] = photo.size;
    const size = Math.max(width, height) / lines;
    const drawing = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const numbers = photo.boxes.map((_, number) => number);
    numbers.sort((a, b) => area(photo.boxes[b]) - area(photo.boxes[a])); // small ones on top, for the pointer
    for (const number of numbers) {
      const [x1, y1, x2, y2, label] = photo.boxes[number];
      const mark = photo.marks?.[number];
      const edges = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
      // A name without a place in its box stands above, and only while the box is pointed at.
      const name = classes[label].name;
      const full = mark?.reason ? `${name}: ${mark.reason}` : name;
      const roomy = corner(photo, number, full, size), at = roomy ?? corner(photo, number, name, size);
      const [x, y] = at ?? [x1, Math.max(y1 - 1.3 * size, 0)];
      const place = { x: x + size * 0.2, y: y + size, style: `font-size:${size}px` };
      const group = draw("g", { class: `box${mark?.reason ? " doubt" : ""}${at ? "" : " small"}`, "data-box": number });
      if (mark) {
        group.append(draw("title", {}, `${full}, ${mark.note}`));
        group.append(draw("path", { class: "own", d: mark.outline, fill: classes[label].colour }));
      }
      group.append(draw("rect", { ...edges, class: "edge" }));
      group.append(draw("rect", { ...edges, class: "ink", stroke: classes[label].colour }));
      group.append(draw("text", place, at && !roomy ? name : full));
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
    if (photo.agreement) items.push(["labels agree", photo.agreement[0]]);
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

