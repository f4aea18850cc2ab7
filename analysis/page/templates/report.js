"use strict";
// Adds choices to a page that is complete without them: rows of a table by variant, labels or class; one arm in all figures.
(() => {
  const CHOICES = new Set(["variant", "against", "arm", "label count", "class name", "group", "goal", "measure", "unit",
    "share of reference", "pretraining counts"]);

  const menu = (name, values, onChoice) => {
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(name, select);
    for (const value of ["all", ...values]) select.add(new Option(value, value));
    select.addEventListener("change", () => onChoice(select.value));
    return label;
  };

  const addFilters = (table) => {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const rows = [...table.tBodies[0].rows], chosen = new Map(), controls = document.createElement("div");
    controls.className = "controls";
    heads.forEach((head, column) => {
      const values = [...new Set(rows.map((row) => row.cells[column].textContent))];
      if (!CHOICES.has(head) || values.length < 2) return;
      controls.append(menu(head, values, (value) => {
        chosen.set(column, value);
        for (const row of rows)
          row.hidden = [...chosen].some(([at, wanted]) => wanted !== "all" && row.cells[at].textContent !== wanted);
      }));
    });
    if (controls.children.length && rows.length > 6) table.parentElement.before(controls);
  };

  const highlight = (arm) => {
    document.body.classList.toggle("chosen", arm !== "all");
    for (const mark of document.querySelectorAll("[data-arm]")) mark.classList.toggle("on", mark.dataset.arm === arm);
    for (const row of document.querySelectorAll("table.data tbody tr"))
      row.classList.toggle("on", row.cells[0].textContent === arm);
  };

  document.querySelectorAll("table.data").forEach(addFilters);
  const arms = [...new Set([...document.querySelectorAll("[data-arm]")].map((mark) => mark.dataset.arm))];
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(menu("Show one arm in every figure", arms, highlight));
  if (arms.length > 1) document.querySelector("nav").after(controls);
})();
