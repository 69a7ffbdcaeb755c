// What a page is measured by, in the page itself. Each check returns a list of faults as texts, or what it found.
(() => {
  const shown = (element) =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const name = (element) => {
    const words = (element.textContent || element.getAttribute("aria-label") || "").trim().slice(0, 40);
    return `<${element.localName} class="${element.getAttribute("class") ?? ""}"> ${words}`;
  };

  const parse = (colour) => {
    const parts = /^rgba?\(([\d., ]+)\)$/.exec(colour);
    if (!parts) throw new Error(`a colour that is not understood: ${colour}`);
    const [red, green, blue, alpha = 1] = parts[1].split(",").map(Number);
    return { rgb: [red, green, blue], alpha };
  };
  const over = (top, below) => top.rgb.map((part, at) => part * top.alpha + below[at] * (1 - top.alpha));
  // Relative luminance and contrast as WCAG 2.2 defines them.
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((left, right) => left - right);
    return (high + 0.05) / (low + 0.05);
  };
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") throw new Error(`a picture behind ${name(at)}`);
      const layer = parse(style.backgroundColor);
      layers.push(layer);
      if (layer.alpha === 1) break;
    }
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return layers.reverse().reduce((below, layer) => over(layer, below), dark ? [18, 18, 18] : [255, 255, 255]);
  };

  window.checks = {
    openAll() {
      for (const one of document.querySelectorAll("details")) one.open = true;
    },
    overflow() {
      const root = document.documentElement;
      const faults = [];
      if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} wide, the window ${root.clientWidth}`);
      const inScroller = (element) => {
        for (let at = element.parentElement; at && at !== document.body; at = at.parentElement)
          if (getComputedStyle(at).overflowX !== "visible") return true;
        return false;
      };
      for (const element of document.body.querySelectorAll("*")) {
        if (element.matches(".unseen, .skip") || !shown(element)) continue;
        const box = element.getBoundingClientRect();
        if (box.width > 1 && (box.right > root.clientWidth + 0.5 || box.left < -0.5) && !inScroller(element))
          faults.push(`from ${box.left} to ${box.right}: ${name(element)}`);
      }
      return faults.slice(0, 10);
    },
    contrast() {
      const faults = [];
      let texts = 0;
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const text = walker.currentNode;
        const element = text.parentElement;
        if (!text.data.trim() || element.closest("script, title, desc, select") || !shown(element)) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        if (![...range.getClientRects()].some((box) => box.width > 1 && box.height > 1)) continue;
        if (element.closest(".unseen")) continue;
        const style = getComputedStyle(element);
        const behind = background(element);
        const front = over(parse(element.namespaceURI.endsWith("svg") ? style.fill : style.color), behind);
        const found = contrast(front, behind);
        texts += 1;
        if (found < 4.5) faults.push(`${found.toFixed(2)}: ${name(element)}`);
      }
      for (const field of document.querySelectorAll("select, input[type=search]")) {
        const found = contrast(parse(getComputedStyle(field).color).rgb, background(field));
        texts += 1;
        if (found < 4.5) faults.push(`${found.toFixed(2)}: ${name(field)}`);
      }
      return { texts, faults: [...new Set(faults)].slice(0, 10) };
    },
    // All that the Tab key has to come to, in order; each gets a number by which it is known again.
    stops() {
      const all = [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex]")];
      const stops = all.filter((one) => one.tabIndex >= 0 && shown(one));
      stops.forEach((one, number) => one.setAttribute("data-stop", number));
      return stops.length;
    },
    focused() {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const style = getComputedStyle(element);
      const boxes = [...element.getClientRects()].filter((box) => box.width && box.height);
      // Bars of less than a pixel lie over each other: one that can be seen at an edge is in sight.
      const inSight = boxes.some((box) => {
        const y = Math.min(Math.max(box.top + Math.min(box.height / 2, 12), 1), innerHeight - 1);
        const isHit = (part) => {
          const x = Math.min(Math.max(box.left + part * box.width, 1), innerWidth - 1);
          const hit = document.elementFromPoint(x, y);
          return hit && (element.contains(hit) || hit.contains(element));
        };
        return box.bottom > 0 && box.top < innerHeight && [0.5, 0, 1].some(isHit);
      });
      const outline = parse(style.outlineColor);
      return {
        stop: Number(element.getAttribute("data-stop") ?? -1),
        name: name(element),
        outlined:
          element.matches(":focus-visible") &&
          style.outlineStyle !== "none" &&
          parseFloat(style.outlineWidth) >= 2 &&
          contrast(over(outline, background(element.parentElement)), background(element.parentElement)) >= 3,
        inSight,
      };
    },
    // Focus the one stop of a box, and take down from then on which of its links has the focus, and whether one sees it.
    follow(box) {
      const links = [...box.querySelectorAll("a.cell, svg a")];
      const seen = [];
      box.addEventListener("focusin", ({ target }) => seen.push([links.indexOf(target), checks.focused().outlined]));
      const stops = links.filter((one) => one.getAttribute("tabindex") === "0");
      stops[0].focus({ focusVisible: true });
      window.followed = { links, seen };
      return { links: links.length, stops: stops.length };
    },
    deadLinks() {
      const links = [...document.querySelectorAll("a[href^='#'], a[*|href^='#']")];
      return links
        .map((link) => link.getAttribute("href").slice(1))
        .filter((id) => !document.getElementById(decodeURIComponent(id)));
    },
    small(selector, least) {
      return [...document.querySelectorAll(selector)].filter(shown).filter((one) => {
        const box = one.getBoundingClientRect();
        return box.width < least || box.height < least;
      }).map(name);
    },
    choose(field, value) {
      const one = document.querySelector(`[name=${field}]`);
      one.value = value;
      one.dispatchEvent(new Event("input", { bubbles: true }));
    },
    // Wait until what the page does about its layout by itself is done and drawn.
    settled() {
      return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))));
    },
    // Wait until something is the case; the caller's own limit ends what never is.
    until(condition) {
      return new Promise((done) => {
        const look = () => (condition() ? done() : setTimeout(look, 20));
        look();
      });
    },
    shown(selector) {
      return [...document.querySelectorAll(selector)].filter(shown).map((one) => one.id || name(one));
    },
  };
})();
