// What a chart says of the place under the pointer. Drawn without React: it follows every move.

import type uPlot from 'uplot';

export interface Line {
  color: string;
  text: string;
  value: string;
  strong: boolean;
}

export interface Told {
  title: string;
  lines: Line[];
  more: number;
}

/** A plug-in that shows what `tell` says of a place; nothing where it says nothing. */
export function tooltip(
  tell: (u: uPlot, left: number, top: number) => Told | undefined,
): uPlot.Plugin {
  let box: HTMLDivElement | undefined;
  return {
    hooks: {
      init: (u) => {
        box = document.createElement('div');
        box.className = 'chart-tip';
        box.hidden = true;
        u.over.append(box);
        u.over.addEventListener('mouseleave', () => {
          if (box) box.hidden = true;
        });
      },
      setCursor: (u) => {
        if (!box) return;
        const { left = -1, top = -1 } = u.cursor;
        const told = left < 0 || top < 0 ? undefined : tell(u, left, top);
        box.hidden = !told;
        if (!told) return;
        box.replaceChildren(...content(told));
        const wide = u.over.clientWidth;
        const width = box.offsetWidth;
        const x = left + 14 + width > wide ? left - width - 14 : left + 14;
        const y = Math.min(top + 10, u.over.clientHeight - box.offsetHeight);
        box.style.transform = `translate(${Math.max(x, -40)}px, ${Math.max(y, 0)}px)`;
      },
    },
  };
}

function content({ title, lines, more }: Told): Node[] {
  const head = document.createElement('div');
  head.className = 'chart-tip-title';
  head.textContent = title;
  const rows = lines.map((line) => {
    const row = document.createElement('div');
    row.className = line.strong ? 'chart-tip-row strong' : 'chart-tip-row';
    const swatch = document.createElement('i');
    swatch.style.background = line.color;
    const name = document.createElement('span');
    name.textContent = line.text;
    const value = document.createElement('b');
    value.textContent = line.value;
    row.append(swatch, name, value);
    return row;
  });
  if (more > 0) {
    const rest = document.createElement('div');
    rest.className = 'chart-tip-title';
    rest.textContent = `and ${more} more`;
    rows.push(rest);
  }
  return [head, ...rows];
}
