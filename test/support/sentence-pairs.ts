import { Random } from '../../pipeline/index.ts';
import type { GlueExample } from '../../src/glue/example.ts';

const people = ['the mayor', 'a farmer', 'her brother', 'the captain', 'an old teacher', 'the editor'];
const acts = ['sold', 'repaired', 'painted', 'lost', 'described', 'inherited', 'borrowed'];
const things = ['a bridge', 'the boat', 'three horses', 'a map of the valley', 'the red house', 'a clock'];
const places = ['in the harbour', 'near the old mill', 'after the war', 'on a cold morning', 'in Geneva'];
const results = ['went up', 'was forgotten', 'came as a surprise', 'cost a great deal', 'took two years'];

/**
 * Pairs in the shape of RTE: a premise of one to six sentences, and a hypothesis that repeats one of its facts (class
 * 0, and a score from 2.5 to 5) or says it of somebody else (class 1, and a score from 0 to 2.5).
 */
export function sentencePairs(numPairs: number, seed: number, labels: 'classes' | 'score'): GlueExample[] {
  return Array.from({ length: numPairs }, (_, index) => {
    const random = new Random(seed, index);
    const choose = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
    const facts = Array.from({ length: 1 + random.below(6) }, () => ({
      person: choose(people),
      rest: `${choose(acts)} ${choose(things)} ${choose(places)}`,
      result: choose(results),
    }));
    const premise = facts.map(({ person, rest, result }) => `${person} ${rest}, which ${result}.`).join(' ');
    const fact = choose(facts);
    const isWrong = random.below(2) === 1;
    const others = people.filter((person) => facts.every((each) => each.person !== person));
    const person = isWrong ? (others[0] ?? 'nobody') : fact.person;
    const share = random.below(26) / 10;
    const score = isWrong ? share : 5 - share;
    return {
      index,
      texts: [premise, `${person} ${fact.rest}.`],
      label: labels === 'classes' ? Number(isWrong) : score,
    };
  });
}
