/** The equation of the token-level contrastive loss, transcribed loop by loop in double precision. */
export interface PlainPairs {
  readonly anchors: ArrayLike<number>;
  readonly positives: ArrayLike<number>;
  /** [A * K] */
  readonly negatives: ArrayLike<number>;
}

export interface PlainLoss {
  readonly loss: number;
  readonly numCorrect: number;
}

/**
 * ℓ(t1) = −log e^{cos(g_t1, g_t2)/τ} / (e^{cos(g_t1, g_t2)/τ} + Σ_k e^{cos(g_t1, g_tk)/τ}), averaged over anchors.
 * @param anchorSemantics [N * D] g where a token is the anchor
 * @param otherSemantics [N * D] g where it is a positive or a negative: the same numbers, unless one differentiates
 */
export function contrastiveLossOf(
  anchorSemantics: ArrayLike<number>,
  otherSemantics: ArrayLike<number>,
  width: number,
  { anchors, positives, negatives }: PlainPairs,
  temperature: number,
): PlainLoss {
  const cosine = (anchor: number, other: number): number => {
    let dot = 0;
    let anchorSquares = 0;
    let otherSquares = 0;
    for (let d = 0; d < width; d += 1) {
      const a = anchorSemantics[anchor * width + d]!;
      const b = otherSemantics[other * width + d]!;
      dot += a * b;
      anchorSquares += a * a;
      otherSquares += b * b;
    }
    return dot / (Math.max(Math.sqrt(anchorSquares), 1e-8) * Math.max(Math.sqrt(otherSquares), 1e-8));
  };
  const numNegatives = negatives.length / anchors.length;
  let sum = 0;
  let numCorrect = 0;
  for (let a = 0; a < anchors.length; a += 1) {
    const anchor = anchors[a]!;
    const positive = cosine(anchor, positives[a]!) / temperature;
    let denominator = Math.exp(positive);
    let highest = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < numNegatives; k += 1) {
      const negative = cosine(anchor, negatives[a * numNegatives + k]!) / temperature;
      denominator += Math.exp(negative);
      highest = Math.max(highest, negative);
    }
    sum -= Math.log(Math.exp(positive) / denominator);
    if (positive > highest) numCorrect += 1;
  }
  return { loss: sum / anchors.length, numCorrect };
}
