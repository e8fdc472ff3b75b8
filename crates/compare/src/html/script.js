"use strict";
const places = [...document.querySelectorAll(".c")];
let at = -1;
const label = document.getElementById("at");
const show = () => {
  label.textContent = places.length ? `${at + 1} / ${places.length} differences` : "no differences";
};
const go = (step) => {
  if (!places.length) return;
  places[at]?.classList.remove("here");
  at = (at + step + places.length) % places.length;
  if (at < 0) at = 0;
  places[at].classList.add("here");
  places[at].scrollIntoView({ block: "center" });
  show();
};
document.getElementById("next").onclick = () => go(1);
document.getElementById("prev").onclick = () => go(at < 0 ? 0 : -1);
document.onkeydown = (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "n") go(1);
  if (event.key === "p") go(at < 0 ? 0 : -1);
};
show();
