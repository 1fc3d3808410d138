"use strict";
const articles = [...document.querySelectorAll("[data-article]")];

function show(language) {
  if (!articles.some((one) => one.dataset.article === language)) return;
  for (const one of articles) {
    one.hidden = one.dataset.article !== language;
    if (!one.hidden) document.title = one.dataset.title;
  }
  document.documentElement.lang = language;
}

function asked() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const article = target && target.closest("[data-article]");
  if (!article || !article.hidden) return;
  show(article.dataset.article);
  target.scrollIntoView();
}

function sortBy(head) {
  const table = head.closest("table");
  const column = head.cellIndex;
  const down = head.getAttribute("aria-sort") === "ascending";
  const rows = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[column];
    const key = cell.dataset.key;
    return { row, number: key ? Number(key) : NaN, text: cell.textContent };
  });
  const compare = new Intl.Collator(document.documentElement.lang, { numeric: true }).compare;
  rows.sort((a, b) => {
    if (Number.isNaN(a.number) !== Number.isNaN(b.number)) return Number.isNaN(a.number) ? 1 : -1;
    const order = Number.isNaN(a.number) ? compare(a.text, b.text) : a.number - b.number;
    return down ? -order : order;
  });
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...rows.map((one) => one.row));
}

function search(field) {
  const wanted = field.value.trim().toLowerCase();
  for (const row of document.getElementById(field.dataset.search).tBodies[0].rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.show) {
    const place = articles.find((one) => !one.hidden);
    show(button.dataset.show);
    if (place) document.querySelector(`[data-article="${button.dataset.show}"] [data-show="${button.dataset.show}"]`).focus();
  } else if (button.closest(".sortable th")) {
    sortBy(button.closest("th"));
  }
});
document.addEventListener("input", (event) => {
  if (event.target.dataset.search) search(event.target);
});
window.addEventListener("hashchange", asked);
if (navigator.language) show(navigator.language.slice(0, 2));
asked();
