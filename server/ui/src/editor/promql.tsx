// The editor for PromQL, with Prometheus' own parts for it.

import { newCompleteStrategy, PromQLExtension } from '@prometheus-io/codemirror-promql';
import { root } from '../api/http';
import Editor, { type EditorProps } from './editor';

/** One for all editors, so that they share what they know of the server. */
const complete = newCompleteStrategy({
  remote: {
    url: root.href.replace(/\/$/, ''),
    httpMethod: 'GET',
    fetchFn: (input, init) => fetch(input, init),
    // What cannot be asked is not completed.
    httpErrorHandler: () => undefined,
  },
});

function language() {
  return new PromQLExtension().setComplete({ completeStrategy: complete }).asExtension();
}

export default function PromQLEditor(props: Omit<EditorProps, 'language' | 'hint'>) {
  return (
    <Editor
      {...props}
      language={language}
      hint="A query, such as rate(node_cpu_seconds_total[5m])"
    />
  );
}
