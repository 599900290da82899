/** Positions in server errors become places in the editor. */
import { expect, test } from 'vitest';
import { errorPlace } from './errorPosition';

test.each([
  ['1:7: parse error: unclosed left parenthesis', 'sum(up', { from: 6, to: 6 }],
  ['invalid parameter "query": 1:5: parse error: unknown function', 'sum(foo_bar, 1)', { from: 4, to: 11 }],
  ['2:3: parse error', 'a\nb c', { from: 4, to: 5 }],
  // Columns count bytes: é is two of them.
  ['1:10: parse error', '{a="é"} ! b', { from: 8, to: 9 }],
])('%s', (message, query, place) => expect(errorPlace(message, query)).toEqual(place));

test('no position, or one outside the query, marks nothing', () => {
  expect(errorPlace('query timed out in expression evaluation', 'up')).toBeUndefined();
  expect(errorPlace('9:1: parse error', 'up')).toBeUndefined();
});
