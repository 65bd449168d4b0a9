"use strict";

// Before and after: the frame's slider says how much of it shows the picture before.
for (const frame of document.querySelectorAll(".compare")) {
  const slider = frame.querySelector("input");
  const move = () => frame.style.setProperty("--at", slider.value + "%");
  slider.addEventListener("input", move);
  move();
}

// Review: marks are kept in the page until they are saved as a file.
const bar = document.querySelector(".save");
if (bar) {
  document.documentElement.classList.add("scripted");
  const cards = [...document.querySelectorAll("[data-id]")];
  const pressed = card => card.querySelector("[aria-pressed=true]");
  const marked = () => cards.filter(pressed);
  const cell = value => '"' + value.replaceAll('"', '""') + '"';
  let saved = true;

  const show = card => {
    card.querySelector(".note").disabled = !pressed(card);
    const count = marked().length;
    bar.querySelector("output").textContent = count + " of " + cards.length + " marked";
    bar.querySelector("button").disabled = count === 0;
    bar.classList.toggle("marked", count > 0);
  };

  for (const card of cards) {
    const buttons = [...card.querySelectorAll("[aria-pressed]")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        for (const each of buttons) each.setAttribute("aria-pressed", String(on && each === button));
        saved = false;
        show(card);
      });
    }
    card.querySelector(".note").addEventListener("input", () => { saved = false; });
    show(card);
  }

  bar.querySelector("button").addEventListener("click", () => {
    const rows = marked().map(card => [JSON.parse(card.dataset.id), pressed(card).value, card.querySelector(".note").value]);
    const lines = [["id", "verdict", "note"], ...rows].map(row => row.map(cell).join(",") + "\r\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, {type: "text/csv"}));
    link.download = JSON.parse(bar.dataset.file);
    link.click();
    saved = true;
  });

  addEventListener("beforeunload", event => {
    if (!saved && marked().length) event.preventDefault();
  });
}
