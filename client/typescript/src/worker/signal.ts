/** A flag to wait for. */
export class Signal {
  #isSet = false;
  #waiting: (() => void)[] = [];

  set(): void {
    this.#isSet = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  clear(): void {
    this.#isSet = false;
  }

  /** Until it is set, or so long. */
  async wait(timeoutMs?: number): Promise<void> {
    if (this.#isSet) return;
    await new Promise<void>((resolve) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
