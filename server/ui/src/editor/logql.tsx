// The editor for LogQL: Grafana's grammar, labels and values of this server, its parser's word.

import type { CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { LanguageSupport, LRLanguage } from '@codemirror/language';
import { type Diagnostic, linter } from '@codemirror/lint';
import { parser } from '@grafana/lezer-logql';
import { styleTags, tags as t } from '@lezer/highlight';
import { ApiError } from '../api/http';
import { checkLogQuery, logLabels, logLabelValues } from '../api/loki';
import Editor, { type EditorProps } from './editor';
import { problemOf } from './problem';

const grammar = LRLanguage.define({
  name: 'logql',
  parser: parser.configure({
    props: [
      styleTags({
        LineComment: t.comment,
        Identifier: t.labelName,
        LabelName: t.labelName,
        String: t.string,
        'Number Duration Bytes': t.number,
        'Json Logfmt Unpack Pattern Regexp Unwrap LabelFormat LineFormat Decolorize Drop Keep':
          t.keyword,
        'By Without On Ignoring GroupLeft GroupRight Bool Offset And Or Unless': t.keyword,
        'RangeOp/... VectorOp/... LabelReplace Vector': t.keyword,
      }),
    ],
  }),
});

const stages: readonly [string, string][] = [
  ['json', 'Reads a line as JSON: its fields become labels'],
  ['logfmt', 'Reads key=value pairs: they become labels'],
  ['pattern', 'Reads a line by a pattern, such as "<ip> - <method>"'],
  ['regexp', 'Reads a line by a regular expression with named groups'],
  ['unpack', 'Reads what the pack stage packed'],
  ['line_format', 'Writes the line anew from a template'],
  ['label_format', 'Renames labels, or makes some from templates'],
  ['unwrap', 'Takes the value of a label as the sample of a metric'],
  ['decolorize', 'Removes colours of terminals'],
  ['drop', 'Drops labels'],
  ['keep', 'Keeps only these labels'],
];

const functions: readonly [string, string][] = [
  ['count_over_time', 'How many lines, per range'],
  ['rate', 'Lines per second'],
  ['bytes_over_time', 'How many bytes, per range'],
  ['bytes_rate', 'Bytes per second'],
  ['sum_over_time', 'Sum of unwrapped values'],
  ['avg_over_time', 'Mean of unwrapped values'],
  ['min_over_time', 'Least of unwrapped values'],
  ['max_over_time', 'Largest of unwrapped values'],
  ['quantile_over_time', 'Quantile of unwrapped values'],
  ['absent_over_time', '1 where there is no line'],
  ['sum', 'Sum over series'],
  ['avg', 'Mean over series'],
  ['min', 'Least of series'],
  ['max', 'Largest of series'],
  ['count', 'Number of series'],
  ['topk', 'The series with the largest values'],
  ['bottomk', 'The series with the least values'],
];

/** How far back labels are looked up. */
const lookMs = 6 * 3_600_000;

async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const before = context.state.sliceDoc(0, context.pos);
  const now = Date.now();
  const value = /\{[^{}]*?([a-zA-Z_]\w*)\s*(?:=|!=|=~|!~)\s*"([^"]*)$/.exec(before);
  if (value) {
    const [, label = '', typed = ''] = value;
    const values = await looked(() => logLabelValues(label, now - lookMs, now));
    return {
      from: context.pos - typed.length,
      options: values.map((one) => ({ label: one, type: 'text' })),
      validFor: /^[^"]*$/,
    };
  }
  const inSelector = /\{([^{}"]|"[^"]*")*$/.test(before);
  const word = context.matchBefore(/[\w]*/);
  const from = word?.from ?? context.pos;
  if (inSelector) {
    const names = await looked(() => logLabels(now - lookMs, now));
    return {
      from,
      options: names.map((name) => ({
        label: name,
        apply: `${name}="`,
        type: 'property',
        detail: 'label',
      })),
      validFor: /^\w*$/,
    };
  }
  if (/\|\s*\w*$/.test(before))
    return { from, options: options(stages, 'stage'), validFor: /^\w*$/ };
  if (!context.explicit && from === context.pos) return null;
  return { from, options: options(functions, 'function'), validFor: /^\w*$/ };
}

function options(all: readonly [string, string][], detail: string) {
  return all.map(([label, info]) => ({ label, detail, info, type: 'keyword' }));
}

/** What cannot be asked is not completed. */
async function looked(ask: () => Promise<{ data: string[] | undefined }>): Promise<string[]> {
  try {
    return (await ask()).data ?? [];
  } catch {
    return [];
  }
}

/** Asks the server's own parser, a while after the last key. */
const check = linter(
  async (view): Promise<Diagnostic[]> => {
    const query = view.state.doc.toString();
    if (query.trim() === '') return [];
    try {
      await checkLogQuery(query, {});
      return [];
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 400) return [];
      const { line = 1, column = 1 } = problemOf(error.message);
      const at = view.state.doc.line(Math.min(line, view.state.doc.lines));
      const from = Math.min(at.from + Math.max(column - 1, 0), at.to);
      const word = view.state.wordAt(from);
      const to = word ? word.to : Math.min(from + 1, at.to);
      return [
        {
          from: to > from ? from : Math.max(from - 1, 0),
          to,
          severity: 'error',
          message: error.message,
        },
      ];
    }
  },
  { delay: 700 },
);

function language() {
  return [new LanguageSupport(grammar, [grammar.data.of({ autocomplete: complete })]), check];
}

export default function LogQLEditor(props: Omit<EditorProps, 'language' | 'hint'>) {
  return (
    <Editor
      {...props}
      language={language}
      hint={'A query, such as {service_name="shop"} |= "error"'}
    />
  );
}
