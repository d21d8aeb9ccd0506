// The text of an entry, what was searched for marked.

import { memo } from 'react';

/** Longest part of a line that a row shows; all of it is in its details. */
const shownChars = 2000;

export const LineText = memo(function LineText(props: { text: string; find: RegExp | undefined }) {
  const { find } = props;
  const text = props.text.length > shownChars ? `${props.text.slice(0, shownChars)}…` : props.text;
  if (!find) return text;
  const parts: (string | { marked: string; at: number })[] = [];
  let end = 0;
  for (const found of text.matchAll(find)) {
    if (found[0] === '') continue;
    parts.push(text.slice(end, found.index), { marked: found[0], at: found.index });
    end = found.index + found[0].length;
    if (parts.length > 200) break;
  }
  parts.push(text.slice(end));
  return parts.map((part) =>
    typeof part === 'string' ? part : <mark key={part.at}>{part.marked}</mark>,
  );
});
