// Rules of relabelling, as people read them.

import type { RelabelStep } from '../../api/prometheus';

/** A rule on one line, what is the default left out. */
export function ruleText(rule: RelabelStep['rule']): string {
  const parts = [rule.action];
  if (rule.source_labels?.length) parts.push(`[${rule.source_labels.join(', ')}]`);
  if (rule.regex && rule.regex !== '(.*)') parts.push(`=~ ${rule.regex}`);
  if (rule.modulus) parts.push(`mod ${rule.modulus}`);
  if (rule.target_label) parts.push(`→ ${rule.target_label}`);
  if (rule.replacement && rule.replacement !== '$1') parts.push(`= ${rule.replacement}`);
  return parts.join(' ');
}
