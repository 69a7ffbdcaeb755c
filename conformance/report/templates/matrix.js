
const form = document.getElementById("filter");
const rows = [...document.querySelectorAll("tr.spec")];

const apply = () => {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { differs, problem } = form.elements;
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits =
      (!differs.checked || row.dataset.differs === "1") &&
      (!problem.checked || row.dataset.problem === "1") &&
      words.every((word) => text.includes(word));
    row.hidden = !fits;
    shown += fits;
  }
  for (const body of document.querySelectorAll(".grid tbody")) body.hidden = !body.querySelector("tr.spec:not([hidden])");
  tell(form, shown, rows.length);
  document.dispatchEvent(new Event("filtered"));
};

// What fits into the window needs no window of its own: the heads of the columns then stay in sight of the page.
const grid = document.querySelector(".grid");
const table = grid.querySelector("table");
new ResizeObserver(() => grid.classList.toggle("fits", table.offsetWidth <= grid.clientWidth)).observe(grid);

filterWith(form, apply);
