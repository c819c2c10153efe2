// The page for aiming a camera: asks for the next picture when the last has come, and for the figures twice a second.
// A page that nobody can see asks for nothing, so nothing is made.

const PICTURE_EVERY_MS = 200;
const FIGURES_EVERY_MS = 500;
const ASK_AGAIN_MS = 2000;
const address = document.querySelector("[data-aim]").dataset.aim;
const picture = document.getElementById("picture");
const figures = document.getElementById("figures");
const sharpest = document.getElementById("sharpest");
let best = 0;
let count = 0;

function later(what, wait_ms) {
  setTimeout(() => { if (document.hidden) later(what, wait_ms); else what(); }, wait_ms);
}

function nextPicture() {
  count += 1;
  picture.src = `${address}/picture?n=${count}`;
}
picture.addEventListener("load", () => later(nextPicture, PICTURE_EVERY_MS));
picture.addEventListener("error", () => later(nextPicture, ASK_AGAIN_MS));
// The first picture may have come, or failed, before this script did.
if (picture.complete) later(nextPicture, PICTURE_EVERY_MS);

// Only what has changed is exchanged: a screen reader would say an unchanged advice again and again.
function exchange(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").body.children;
  [...fresh].forEach((part, index) => {
    const shown = figures.children[index];
    if (!shown) figures.append(part);
    else if (shown.outerHTML !== part.outerHTML) shown.replaceWith(part);
  });
}

async function nextFigures() {
  let wait_ms = FIGURES_EVERY_MS;
  try {
    const answer = await fetch(`${address}/figures`);
    if (answer.redirected) { location.assign(answer.url); return; }
    if (!answer.ok) throw new Error("no figures");
    exchange(await answer.text());
    const sharpness = Number(figures.querySelector("[data-sharpness]").dataset.sharpness);
    if (sharpness > best) { best = sharpness; sharpest.textContent = `${best} %`; }
    document.documentElement.dataset.live = "yes";
  } catch {
    document.documentElement.dataset.live = "no";
    wait_ms = ASK_AGAIN_MS;
  }
  later(nextFigures, wait_ms);
}
later(nextFigures, FIGURES_EVERY_MS);

document.getElementById("sharpest-anew").addEventListener("click", () => {
  best = 0;
  sharpest.textContent = "–";
});
