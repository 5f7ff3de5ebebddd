/** How many attempts a worker is willing to hold: few when tasks are long, more when they are short. Pure. */
const AHEAD_MS = 25;
const MOST_AHEAD = 400;
const NO_AHEAD_ABOVE_MS = 1_000;

/** Tasks held ahead spare the round trip between one task and the next; but what waits here runs nowhere else. */
export class CreditGauge {
  readonly initial: number;
  #meanMs = 0;
  #told: number;

  constructor(private readonly slots: number) {
    this.initial = slots + 1;
    this.#told = this.initial;
  }

  /** A task has ended after so long. */
  ran(wallMs: number): void {
    this.#meanMs += (Math.max(wallMs, 0.001) - this.#meanMs) / (this.#meanMs > 0 ? 8 : 1);
  }

  /** A new stream began with `initial`. */
  reset(): void {
    this.#told = this.initial;
  }

  /** The new credit if it should be told, else 0. */
  change(): number {
    if (this.#meanMs === 0) return 0;
    const ahead = Math.max(1, Math.min(MOST_AHEAD, Math.floor((this.slots * AHEAD_MS) / this.#meanMs)));
    const wanted = this.#meanMs > NO_AHEAD_ABOVE_MS ? this.slots : this.slots + ahead;
    const ratio = wanted / this.#told;
    const isClose = Math.min(wanted, this.#told) > this.slots && ratio > 2 / 3 && ratio < 1.5;
    if (wanted === this.#told || isClose) return 0;
    this.#told = wanted;
    return wanted;
  }
}
