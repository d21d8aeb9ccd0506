// An editor for queries: completion, checks while one writes, and what the server says of one.

import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import {
  defaultKeymap,
  history,
  historyKeymap,
  insertNewlineAndIndent,
} from '@codemirror/commands';
import { bracketMatching, syntaxHighlighting } from '@codemirror/language';
import { type Diagnostic, linter, lintKeymap } from '@codemirror/lint';
import { EditorState, type Extension, Prec, StateEffect, StateField } from '@codemirror/state';
import { EditorView, keymap, placeholder, tooltips } from '@codemirror/view';
import { classHighlighter } from '@lezer/highlight';
import { useEffect, useRef } from 'react';
import { nonce } from '../shell/nonce';
import type { Problem } from './problem';
import './editor.css';

export interface EditorProps {
  value: string;
  onChange: (value: string) => void;
  onRun: () => void;
  label: string;
  hint: string;
  problem?: Problem | undefined;
  /** The language, made once. */
  language: () => Extension;
  focus?: boolean | undefined;
}

const setProblem = StateEffect.define<Problem | undefined>();

/** The server's complaint, until the text changes. */
const problemField = StateField.define<Problem | undefined>({
  create: () => undefined,
  update(value, transaction) {
    for (const effect of transaction.effects) if (effect.is(setProblem)) return effect.value;
    return transaction.docChanged ? undefined : value;
  },
});

const problemLint = linter(
  (view): Diagnostic[] => {
    const problem = view.state.field(problemField);
    if (!problem) return [];
    const { doc } = view.state;
    if (problem.line === undefined) return [];
    const line = doc.line(Math.min(Math.max(problem.line, 1), doc.lines));
    const at = Math.min(line.from + Math.max((problem.column ?? 1) - 1, 0), line.to);
    const word = view.state.wordAt(at);
    const to = word ? word.to : Math.min(at + 1, doc.length);
    const from = to > at ? at : Math.max(at - 1, 0);
    return [{ from, to, severity: 'error', message: problem.message, source: 'server' }];
  },
  {
    delay: 0,
    needsRefresh: (update) =>
      update.startState.field(problemField) !== update.state.field(problemField),
  },
);

export default function Editor(props: EditorProps) {
  const { value, problem, label } = props;
  const element = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;

  // The view is made once; what changes later is handed to it below.
  useEffect(() => {
    if (!element.current) return;
    const { value, label, hint, language, focus } = latest.current;
    const run = () => {
      latest.current.onRun();
      return true;
    };
    const made = new EditorView({
      parent: element.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          EditorView.cspNonce.of(nonce),
          Prec.highest(
            keymap.of([
              { key: 'Mod-Enter', run },
              { key: 'Shift-Enter', run: insertNewlineAndIndent },
            ]),
          ),
          language(),
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            { key: 'Enter', run },
            {
              key: 'Escape',
              run: (view) => {
                view.contentDOM.blur();
                return true;
              },
            },
            ...lintKeymap,
            ...historyKeymap,
            ...defaultKeymap,
          ]),
          history(),
          autocompletion({ icons: false }),
          bracketMatching(),
          closeBrackets(),
          syntaxHighlighting(classHighlighter),
          problemField,
          problemLint,
          placeholder(hint),
          tooltips({ position: 'fixed' }),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': label }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    if (focus) made.focus();
    return () => {
      made.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    const made = view.current;
    if (!made) return;
    const text = made.state.doc.toString();
    if (text !== value) {
      made.dispatch({
        changes: { from: 0, to: text.length, insert: value },
        selection: { anchor: value.length },
      });
    }
  }, [value]);

  useEffect(() => {
    view.current?.dispatch({ effects: setProblem.of(problem) });
  }, [problem]);

  return <div ref={element} className="editor" data-label={label} />;
}
