
for (const line of document.querySelectorAll(".repeat code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${line.dataset.what}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(line);
      button.textContent = "Selected";
    }
    document.getElementById("said").textContent = `${button.textContent}: ${line.textContent}`;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  line.after(button);
}

const form = document.getElementById("filter");
if (form) {
  const specs = [...document.querySelectorAll("tbody[data-status]")];
  const topics = [...document.querySelectorAll("section[data-topic]")];
  const texts = new Map();
  const textOf = (spec) => {
    if (!texts.has(spec)) texts.set(spec, spec.textContent.toLowerCase());
    return texts.get(spec);
  };

  const apply = () => {
    const statuses = [...form.querySelectorAll("[name=status]:checked")].map((box) => box.value);
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const topic = form.elements.topic.value;
    const environment = form.elements.environment?.value;
    let shown = 0;
    for (const spec of specs) {
      const fits =
        (!statuses.length || statuses.includes(spec.dataset.status)) &&
        (!topic || spec.dataset.topic === topic) &&
        (!environment || spec.dataset.environment === environment) &&
        words.every((word) => textOf(spec).includes(word));
      spec.hidden = !fits;
      shown += fits;
    }
    for (const section of topics) section.hidden = !section.querySelector("tbody[data-status]:not([hidden])");
    tell(form, shown, specs.length);
  };

  filterWith(form, apply);
}
