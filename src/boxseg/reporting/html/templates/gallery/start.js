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

