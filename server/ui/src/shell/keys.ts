// Keys that work everywhere, and those of a view while it is shown.

import { useEffect, useRef } from 'react';

export interface Key {
  /** As `KeyboardEvent.key` has it, with `Mod+` for Control or Command, `Alt+` for that. */
  key: string;
  does: string;
  run: () => void;
}

interface Registered {
  title: string;
  keys: readonly Key[];
}

const registered = new Set<Registered>();

/** All keys that work now, for the help. */
export function keysNow(): Registered[] {
  return [...registered];
}

function named(event: KeyboardEvent): string {
  const mod = event.ctrlKey || event.metaKey ? 'Mod+' : '';
  const alt = event.altKey ? 'Alt+' : '';
  return mod + alt + event.key;
}

function writes(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Lets keys work while a component is shown. Keys without a modifier wait while somebody writes. */
export function useKeys(title: string, keys: readonly Key[]) {
  const latest = useRef(keys);
  latest.current = keys;
  const names = keys.map((one) => one.key + one.does).join('\n');
  // biome-ignore lint/correctness/useExhaustiveDependencies: the names stand for the keys
  useEffect(() => {
    const entry = {
      title,
      get keys() {
        return latest.current;
      },
    };
    registered.add(entry);
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented) return;
      const name = named(event);
      const key = latest.current.find((one) => one.key === name);
      if (!key) return;
      const bare = !name.startsWith('Mod+') && !name.startsWith('Alt+');
      if (bare && (writes(event.target) || document.querySelector('[role=dialog]'))) return;
      event.preventDefault();
      key.run();
    };
    window.addEventListener('keydown', pressed);
    return () => {
      registered.delete(entry);
      window.removeEventListener('keydown', pressed);
    };
  }, [title, names]);
}
