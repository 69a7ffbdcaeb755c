
const form = document.getElementById("filter");
const rows = [...document.querySelectorAll("tr.spec")];
const found = document.getElementById("found");

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
  const all = shown === rows.length;
  found.textContent = all ? `All ${shown} specs are shown.` : `${shown} of ${rows.length} specs are shown.`;
  form.elements.all.hidden = all;
  document.dispatchEvent(new Event("filtered"));
};

// A link to a spec that the filter hides has to lead there all the same.
const arrive = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || !target.closest("[hidden]")) return;
  form.reset();
  apply();
  target.scrollIntoView();
};

// What fits into the window needs no window of its own: the heads of the columns then stay in sight of the page.
const grid = document.querySelector(".grid");
const table = grid.querySelector("table");
new ResizeObserver(() => grid.classList.toggle("fits", table.offsetWidth <= grid.clientWidth)).observe(grid);

form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(apply));
addEventListener("hashchange", arrive);
form.hidden = false;
apply();
arrive();
