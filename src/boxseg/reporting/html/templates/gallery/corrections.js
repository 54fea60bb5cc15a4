
  // ---- corrections: what a person says of photos and masks, kept by the browser and saved as a file -----------------

  // What `boxseg label corrections=FILE` can do with a box, and its name here.
  const DEEDS = [["", "keep"], ["ellipse", "ellipse"], ["box", "whole box"], ["grabcut", "GrabCut"], ["leave-out", "leave out"], ["redraw", "redraw"]];
  const corrections = new Map(); // by number of the photo: { wrong, boxes: Map of number of the box to deed }
  let elsewhere = {}; // of photos that are not on this page: they are saved again
  const KEPT = `boxseg-corrections ${location.pathname}`;
  const corrected = (number) => corrections.get(number) ?? { wrong: false, boxes: new Map() };

  function correct(number, change) {
    const entry = corrected(number);
    change(entry);
    if (entry.wrong || entry.boxes.size) corrections.set(number, entry);
    else corrections.delete(number);
    keepCorrections();
    showCorrections();
  }

  // The file's content. Boxes are named by class and edges, which hold when the order of boxes changes.
  function asFile() {
    const entries = [...corrections].sort(([a], [b]) => a - b).map(([number, { wrong, boxes }]) => {
      const named = [...boxes].sort(([a], [b]) => a - b).map(([place, deed]) => {
        const [x1, y1, x2, y2, label] = photos[number].boxes[place];
        return { box: [x1, y1, x2, y2], class: classes[label].name, do: deed };
      });
      return [photos[number].id, { ...(wrong && { wrong }), ...(named.length && { boxes: named }) }];
    });
    return { boxseg: "corrections", version: 1, photos: { ...elsewhere, ...Object.fromEntries(entries) } };
  }

  function takeFile(content) {
    if (content?.boxseg !== "corrections" || typeof content.photos !== "object" || !content.photos) throw new Error("not a file of corrections");
    // Photos of another split may have the same names: only labels are corrected.
    const byName = new Map(photos.flatMap((photo, number) => (photo.marks ? [[photo.id, number]] : [])));
    const others = [], read = new Map();
    for (const [id, { wrong = false, boxes = [] }] of Object.entries(content.photos)) {
      const number = byName.get(id);
      if (number === undefined) { others.push([id, content.photos[id]]); continue; }
      const entry = { wrong: Boolean(wrong), boxes: new Map() };
      for (const { box, class: name, do: deed } of boxes) {
        const same = (own) => classes[own[4]].name === name && box.every((edge, place) => Math.abs(edge - own[place]) < 0.06);
        const place = photos[number].boxes.findIndex((own, at) => same(own) && !entry.boxes.has(at));
        if (place < 0 || !DEEDS.some(([known]) => known === deed)) throw new Error(`${id} has no such box any more: ${name}`);
        entry.boxes.set(place, deed);
      }
      if (entry.wrong || entry.boxes.size) read.set(number, entry);
    }
    corrections.clear();
    for (const [number, entry] of read) corrections.set(number, entry);
    elsewhere = Object.fromEntries(others);
  }

  // Browsers may refuse to keep anything for a file: then the page forgets when it is closed.
  function keepCorrections() { try { localStorage.setItem(KEPT, JSON.stringify(asFile())); } catch { /* see above */ } }
  function recallCorrections() {
    try { takeFile(JSON.parse(localStorage.getItem(KEPT) ?? "null")); } catch { /* none, or of another report */ }
  }

  function summaryOf(entry) {
    const parts = [];
    if (entry.wrong) parts.push("left out");
    if (entry.boxes.size) parts.push(`${entry.boxes.size} corrected`);
    return parts.join(", ");
  }

  function showCorrections() {
    const boxes = [...corrections.values()].reduce((sum, entry) => sum + entry.boxes.size, 0);
    const wrong = [...corrections.values()].filter((entry) => entry.wrong).length;
    const more = Object.keys(elsewhere).length;
    const count = (number, noun, plural) => `${number} ${number === 1 ? noun : plural}`;
    byId("corrected").textContent = boxes + wrong + more === 0
      ? "None yet: open a photo and say what is to be done with a mask."
      : `${count(boxes, "mask", "masks")} corrected, ${count(wrong, "photo", "photos")} left out${more ? `, and ${count(more, "photo that is", "photos that are")} not on this page` : ""}`;
    byId("save").disabled = byId("clear").disabled = boxes + wrong + more === 0;
    for (const item of cards) {
      item.corrected.textContent = summaryOf(corrected(item.number));
      item.corrected.hidden = !item.corrected.textContent;
    }
  }

  function saveCorrections() {
    const address = URL.createObjectURL(new Blob([`${JSON.stringify(asFile(), null, 1)}\n`], { type: "application/json" }));
    make("a", { href: address, download: "corrections.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  async function loadCorrections(file) {
    try {
      takeFile(JSON.parse(await file.text()));
      keepCorrections();
      showCorrections();
    } catch (error) {
      byId("corrected").textContent = `${file.name} was not read: ${error.message}`;
    }
  }

  // For the detail view: a choice for one box, and one for the photo.
  function deedChoice(number, place) {
    const choice = make("select", { className: "deed" }, ...DEEDS.map(([deed, name]) => make("option", { value: deed }, name)));
    choice.setAttribute("aria-label", `What to do with mask ${place + 1}`);
    choice.value = corrected(number).boxes.get(place) ?? "";
    choice.addEventListener("change", () => correct(number, ({ boxes }) => (choice.value ? boxes.set(place, choice.value) : boxes.delete(place))));
    return choice;
  }

  function wrongChoice(number) {
    const box = make("input", { type: "checkbox", checked: corrected(number).wrong });
    box.addEventListener("change", () => correct(number, (entry) => { entry.wrong = box.checked; }));
    return make("label", { className: "check" }, box, " leave this photo out of training");
  }
