// Colours of series: told apart in light and dark, and without red beside green at first.

const light = [
  '#1f77b4',
  '#d9730d',
  '#0d8a6a',
  '#a63d97',
  '#b8860b',
  '#5d5fc7',
  '#c23b4b',
  '#4d7c0f',
  '#0e7fa8',
  '#8c564b',
  '#7a3ff2',
  '#c2185b',
  '#00796b',
  '#6b7280',
  '#b45309',
  '#2563eb',
];
const dark = [
  '#63b3ed',
  '#f6a04d',
  '#4fd1a5',
  '#dd8bd3',
  '#e6c04d',
  '#a3a5f7',
  '#f08a96',
  '#a3d65c',
  '#4cc3e0',
  '#c99a8d',
  '#b794f6',
  '#f57fb0',
  '#4dd0c1',
  '#aab4bf',
  '#f0b36a',
  '#7fb0ff',
];

export function seriesColor(index: number, isDark: boolean): string {
  const colors = isDark ? dark : light;
  return colors[index % colors.length] ?? '#888888';
}

/** What a chart is drawn with, read from the style sheet. */
export function chartInk(isDark: boolean) {
  return isDark
    ? { text: '#9aa7b2', grid: '#272e35', axis: '#46515b', surface: '#1a1f24' }
    : { text: '#5a6670', grid: '#eceff1', axis: '#c3cad1', surface: '#ffffff' };
}
