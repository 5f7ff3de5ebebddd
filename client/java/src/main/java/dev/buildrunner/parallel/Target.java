package dev.buildrunner.parallel;

/**
 * Where a coordinator is, and with which token.
 *
 * @param address {@code unix:PATH} or {@code HOST:PORT}
 * @param token what to present there; empty for none
 */
public record Target(String address, String token) {
  /**
   * The coordinator that the environment names (BR_COORDINATOR, with BR_TOKEN or BR_TOKEN_FILE),
   * else the workspace's own. Reads a few small files; whether anybody answers is not asked.
   *
   * @throws BuildRunnerException INVALID for text that is no address, UNAVAILABLE when no
   *     coordinator was ever started here, UNAUTHENTICATED for a token file that cannot be read
   */
  public static Target locate() {
    return locate("", "");
  }

  /** The same for an address and a token that are given; either may be empty. */
  public static Target locate(String coordinator, String token) {
    return new Discovery(System.getenv(), java.nio.file.Path.of("")).locate(coordinator, token);
  }

  /** Without the token. */
  @Override
  public String toString() {
    return address;
  }
}
