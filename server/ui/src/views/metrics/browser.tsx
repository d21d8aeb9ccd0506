// All metrics with what they mean, to choose one.

import { Cross2Icon } from '@radix-ui/react-icons';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Dialog } from 'radix-ui';
import { useMemo, useRef, useState } from 'react';
import { Shown, useCall } from '../../kit/page';
import { Empty } from '../../kit/states';
import { firstQuery } from './first_query';

interface Props {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onChoose: (query: string) => void;
}

type Metadata = Record<string, { type: string; help: string }[]>;

export function Browser({ open, onOpenChange, onChoose }: Props) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog" aria-describedby={undefined}>
          <div className="dialog-head">
            <Dialog.Title>Metrics</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <Cross2Icon />
            </Dialog.Close>
          </div>
          <Loaded
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

function Loaded({ onChoose }: { onChoose: (query: string) => void }) {
  const names = useCall<string[]>('api/v1/label/__name__/values', {}, false);
  const metadata = useCall<Metadata>('api/v1/metadata', {}, false);
  return (
    <Shown of={names} what="metrics">
      {(names) => <Names names={names} metadata={metadata.data?.data ?? {}} onChoose={onChoose} />}
    </Shown>
  );
}

/** What a metric is called that its bucket, count or sum is of. */
function describe(name: string, metadata: Metadata) {
  const found = metadata[name] ?? metadata[name.replace(/_(bucket|count|sum|total)$/, '')];
  return found?.[0];
}

function Names(props: { names: string[]; metadata: Metadata; onChoose: (query: string) => void }) {
  const { names, metadata, onChoose } = props;
  const [wanted, setWanted] = useState('');
  const place = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => {
    const words = wanted.toLowerCase().split(/\s+/);
    return names.filter((name) => {
      const text = `${name} ${describe(name, metadata)?.help ?? ''}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }, [names, metadata, wanted]);
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => place.current,
    estimateSize: () => 46,
    overscan: 8,
  });
  return (
    <div className="dialog-body stack">
      <input
        type="search"
        aria-label="Search metrics"
        placeholder={`Search ${names.length} metrics by name or meaning`}
        value={wanted}
        onChange={(e) => setWanted(e.target.value)}
      />
      {shown.length === 0 && <Empty title="No metric is called like that." />}
      <div className="browse-list" ref={place}>
        <ul style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((item) => {
            const name = shown[item.index] ?? '';
            const described = describe(name, metadata);
            return (
              <li
                key={name}
                style={{
                  position: 'absolute',
                  insetInline: 0,
                  height: item.size,
                  transform: `translateY(${item.start}px)`,
                }}
              >
                <button
                  type="button"
                  className="choice two"
                  onClick={() => onChoose(firstQuery(name, described?.type))}
                >
                  <span className="mono">
                    {name} <span className="muted">{described?.type}</span>
                  </span>
                  <span className="muted">{described?.help}</span>
                </button>
              </li>
            );
          })}
        </ul>
      </div>
    </div>
  );
}
