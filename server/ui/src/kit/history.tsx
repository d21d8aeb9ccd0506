// The queries that were run before, to be found and taken again.

import { Cross2Icon } from '@radix-ui/react-icons';
import { Dialog } from 'radix-ui';
import { useMemo, useState } from 'react';
import { ago } from '../time/format';
import { forgetAll, history, type Ran } from '../url/history';
import { Empty } from './states';

interface Props {
  language: Ran['language'];
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onChoose: (query: string) => void;
}

export function History({ language, open, onOpenChange, onChoose }: Props) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog" aria-describedby={undefined}>
          <div className="dialog-head">
            <Dialog.Title>History of queries</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <Cross2Icon />
            </Dialog.Close>
          </div>
          <Entries
            language={language}
            onChoose={(query) => {
              onOpenChange(false);
              onChoose(query);
            }}
          />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Entries({ language, onChoose }: Pick<Props, 'language' | 'onChoose'>) {
  const [kept, setKept] = useState(() => history().filter((one) => one.language === language));
  const [wanted, setWanted] = useState('');
  const shown = useMemo(() => {
    const words = wanted.toLowerCase().split(/\s+/);
    return kept.filter((one) => words.every((word) => one.query.toLowerCase().includes(word)));
  }, [kept, wanted]);
  const now = Date.now();
  return (
    <div className="dialog-body stack">
      <div className="toolbar">
        <input
          type="search"
          aria-label="Search the history"
          placeholder="Search"
          value={wanted}
          onChange={(e) => setWanted(e.target.value)}
        />
        <button
          type="button"
          className="push"
          disabled={kept.length === 0}
          onClick={() => {
            forgetAll();
            setKept([]);
          }}
        >
          Forget all
        </button>
      </div>
      {shown.length === 0 && <Empty title="No query here yet." />}
      <ul className="choices">
        {shown.map((one) => (
          <li key={one.query}>
            <button type="button" className="choice" onClick={() => onChoose(one.query)}>
              <span className="mono">{one.query}</span>
              <span className="muted">{ago(one.at, now)}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
