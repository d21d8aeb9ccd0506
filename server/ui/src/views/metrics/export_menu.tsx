// Taking a graph along, as CSV, JSON or PNG.

import { DownloadIcon } from '@radix-ui/react-icons';
import { Popover } from 'radix-ui';
import { chartInk } from '../../chart/palette';
import type { Columns } from '../../chart/series';
import { seriesName } from '../../kit/labels';
import { csvLine, save } from '../../kit/save';
import { useSettings } from '../../shell/settings';
import type { Run } from './run';

interface Props {
  run: Run;
  columns: Columns;
  colors: readonly string[];
  hidden: ReadonlySet<number>;
  canvas: () => HTMLCanvasElement | undefined;
}

export function ExportMenu(props: Props) {
  const { run, columns } = props;
  const { dark } = useSettings();
  const png = () => {
    const canvas = props.canvas();
    if (!canvas) return;
    picture(canvas, props, dark)?.toBlob((blob) => blob && save('kymo.png', blob));
  };
  const items: [string, () => void][] = [
    ['CSV', () => save('kymo.csv', new Blob([columnsCsv(columns)], { type: 'text/csv' }))],
    ['JSON', () => save('kymo.json', new Blob([runJson(run)], { type: 'application/json' }))],
    ['PNG', png],
  ];
  return (
    <Popover.Root>
      <Popover.Trigger className="small">
        <DownloadIcon /> Export
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="menu" align="end" sideOffset={4} aria-label="Export as">
          {items.map(([name, take]) => (
            <Popover.Close key={name} className="menu-item" onClick={take}>
              {name}
            </Popover.Close>
          ))}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** A column of times, then one for each series. */
export function columnsCsv({ times, series }: Columns): string {
  const head = csvLine(['time', ...series.map((one) => seriesName(one.labels))]);
  const rows = times.map((time, at) =>
    csvLine([new Date(time * 1000).toISOString(), ...series.map((one) => one.values[at] ?? '')]),
  );
  return head + rows.join('');
}

/** What the server answered, with what was asked. */
export function runJson(run: Run): string {
  const { asked, outcomes } = run;
  const results = outcomes.map(({ query, answer, error }) => ({
    query,
    ...(answer ? { data: answer.data, warnings: answer.warnings, infos: answer.infos } : {}),
    ...(error ? { error: error.message } : {}),
  }));
  return JSON.stringify({ ...(asked.range ?? { time: asked.end }), results }, null, 2);
}

/** The chart with the names of what it shows. */
function picture(chart: HTMLCanvasElement, props: Props, dark: boolean) {
  const { columns, colors, hidden } = props;
  const ratio = devicePixelRatio || 1;
  const shown = columns.series
    .map((one, index) => ({ name: seriesName(one.labels), color: colors[index] ?? '', index }))
    .filter(({ index }) => !hidden.has(index))
    .slice(0, 40);
  const line = 18 * ratio;
  const canvas = document.createElement('canvas');
  canvas.width = chart.width;
  canvas.height = chart.height + shown.length * line + 12 * ratio;
  const context = canvas.getContext('2d');
  if (!context) return undefined;
  const ink = chartInk(dark);
  context.fillStyle = ink.surface;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(chart, 0, 0);
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textBaseline = 'middle';
  for (const [row, { name, color }] of shown.entries()) {
    const y = chart.height + row * line + line / 2;
    context.fillStyle = color;
    context.fillRect(12 * ratio, y - 5 * ratio, 10 * ratio, 10 * ratio);
    context.fillStyle = ink.text;
    context.fillText(name, 28 * ratio, y, canvas.width - 40 * ratio);
  }
  return canvas;
}
