"use strict";

// One stop for the Tab key in what has hundreds of links: the arrow keys go on from there.
function rove(box) {
  const links = [...box.querySelectorAll("a.cell, svg a")];
  const shown = () => links.filter((link) => link.getClientRects().length);
  const enter = (link) => {
    for (const other of links) other.setAttribute("tabindex", other === link ? "0" : "-1");
  };
  const middle = (link) => {
    const { left, right, top } = link.getBoundingClientRect();
    return { x: (left + right) / 2, y: top };
  };
  // Up and down: the next row in that direction, and there what is nearest.
  const across = (from, sign) => {
    const start = middle(from);
    const beyond = shown().map((link) => ({ link, ...middle(link) })).filter(({ y }) => sign * (y - start.y) > 4);
    const row = Math.min(...beyond.map(({ y }) => sign * y));
    const near = beyond.filter(({ y }) => sign * y - row < 4);
    near.sort((one, other) => Math.abs(one.x - start.x) - Math.abs(other.x - start.x));
    return near[0]?.link;
  };
  const ways = {
    ArrowRight: (all, from) => all[all.indexOf(from) + 1],
    ArrowLeft: (all, from) => all[all.indexOf(from) - 1],
    ArrowDown: (_, from) => across(from, 1),
    ArrowUp: (_, from) => across(from, -1),
    Home: (all) => all[0],
    End: (all) => all[all.length - 1],
  };
  box.addEventListener("keydown", (event) => {
    const from = event.target.closest("a");
    const way = ways[event.key];
    if (!way || !links.includes(from) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const to = way(shown(), from);
    if (!to) return;
    enter(to);
    to.focus();
  });
  box.addEventListener("focusin", (event) => {
    const link = event.target.closest("a");
    if (links.includes(link)) enter(link);
  });
  const settle = () => {
    const all = shown();
    if (!all.some((link) => link.getAttribute("tabindex") === "0")) enter(all[0]);
  };
  document.addEventListener("filtered", settle);
  settle();
  box.classList.add("has-keys");
}

// What scrolls has to be in reach of the keyboard; what does not would only be in its way.
function reach(box) {
  const scrolls = box.scrollHeight > box.clientHeight || box.scrollWidth > box.clientWidth;
  if (scrolls) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", box.dataset.scrolls);
  } else if (box.hasAttribute("tabindex")) {
    for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
  }
}

document.querySelectorAll("[data-rove]").forEach(rove);
const watch = new ResizeObserver((changes) => changes.forEach(({ target }) => reach(target)));
for (const box of document.querySelectorAll("[data-scrolls]")) watch.observe(box);

// A form that filters: it is there only where scripts are.
function filterWith(form, apply) {
  // A link to a spec that the filter hides has to lead there all the same.
  const arrive = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !target.closest("[hidden]")) return;
    form.reset();
    apply();
    target.scrollIntoView();
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  addEventListener("hashchange", arrive);
  form.hidden = false;
  apply();
  arrive();
}

// How many of the specs a filter shows, in words.
function tell(form, shown, all) {
  document.getElementById("found").textContent =
    shown === all ? `All ${shown} specs are shown.` : `${shown} of ${all} specs are shown.`;
  form.elements.all.hidden = shown === all;
}
