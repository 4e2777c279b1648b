/** An update of variables where they lie, which becomes operations only when its results are assigned. */
export interface InPlaceUpdate {
  /** Handles of the variables that it changes. */
  readonly handles: readonly string[];
  /**
   * Adds its operations to the graph.
   * @param after edges of control that all of them wait for
   * @returns the operations that have to run
   */
  readonly emit: (after: readonly string[]) => readonly string[];
}
