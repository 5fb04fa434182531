// The gallery: rows of the page's data, found, sorted and shown a page at a time. A link such as #volume=NAME opens one.
const { pathologies, rows } = JSON.parse(document.getElementById("data").textContent);
const volumes = rows.map(([volume, patient, split, labels, picture, spacing, shape, hu, source, same]) => ({
  volume, patient, split, labels, picture, spacing, shape, hu, source, same,
}));
const controls = document.getElementById("controls");
const PAGE = 48;
const KEYS = {
  name: (v) => v.volume, patient: (v) => v.patient, slices: (v) => v.spacing[0], pixels: (v) => v.spacing[1],
  count: (v) => v.shape[0], dark: (v) => v.hu[0], median: (v) => v.hu[1], bright: (v) => v.hu[2],
};
let first = 0;
let shown = [];

function find() {
  const wanted = Object.fromEntries(new FormData(controls));
  const text = wanted.find.trim().toLowerCase();
  shown = volumes.filter((v) =>
    (!text || v.volume.toLowerCase().includes(text) || v.patient.toLowerCase().includes(text)) &&
    (!wanted.split || v.split === wanted.split) &&
    (wanted.finding === "" || v.labels[Number(wanted.finding)] === 1) &&
    (wanted.only !== "same" || v.same > 1));
  const key = KEYS[wanted.sort];
  const direction = wanted.descending ? -1 : 1;
  shown.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return direction * (typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
  });
  first = 0;
  show();
}

function show() {
  const part = shown.slice(first, first + PAGE);
  document.getElementById("gallery").replaceChildren(...part.map(card));
  document.getElementById("count").textContent = `${shown.length} of ${volumes.length} volumes`;
  const last = Math.max(1, Math.ceil(shown.length / PAGE));
  document.getElementById("page").textContent = `page ${first / PAGE + 1} of ${last}`;
  document.getElementById("back").disabled = first === 0;
  document.getElementById("on").disabled = first + PAGE >= shown.length;
}

function card(v) {
  const figure = document.createElement("figure");
  figure.id = `volume=${v.volume}`;
  const image = document.createElement("img");
  image.src = v.picture.split("/").map(encodeURIComponent).join("/");
  image.loading = "lazy";
  image.alt = `Three planes of ${v.volume}`;
  image.width = 292;
  image.height = 122;
  const caption = document.createElement("figcaption");
  const found = pathologies.filter((_, place) => v.labels[place] === 1).join(", ") || "no finding";
  const lines = [
    `${v.volume} (${v.split})`, found,
    `${v.shape.join(" x ")} voxels of ${v.spacing.join(" x ")} mm; HU ${v.hu[0]} to ${v.hu[2]}, from the ${v.source}`,
  ];
  if (v.same > 1) lines.push(`${v.same} volumes have these very voxels`);
  for (const [place, line] of lines.entries()) {
    const element = document.createElement(place === 0 ? "strong" : "span");
    element.textContent = line;
    caption.append(element);
  }
  figure.append(image, caption);
  return figure;
}

function open() {
  const [key, value] = decodeURIComponent(location.hash.slice(1)).split(/=(.*)/s);
  if (key !== "volume") return;
  controls.reset();
  controls.elements.find.value = value;
  find();
  document.getElementById("volumes").scrollIntoView();
}

controls.addEventListener("input", find);
controls.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("back").addEventListener("click", () => { first -= PAGE; show(); });
document.getElementById("on").addEventListener("click", () => { first += PAGE; show(); });
addEventListener("hashchange", open);
find();
open();
