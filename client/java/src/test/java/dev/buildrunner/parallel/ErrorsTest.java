package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Metadata;
import io.grpc.Status;
import java.nio.channels.ClosedChannelException;
import org.junit.jupiter.api.Test;

class ErrorsTest {
  private static BuildRunnerException from(Status status) {
    return Errors.from(status, new Metadata(), "h:1", null);
  }

  @Test
  void aConnectionThatWasCutOffIsUnavailable() {
    Status cut =
        Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException());
    assertTrue(Calls.isPassing(cut, new Metadata()));
    assertEquals(ErrorKind.UNAVAILABLE, from(cut).kind());
    assertTrue(from(cut).getMessage().contains("h:1"), from(cut).getMessage());
  }

  @Test
  void whatACoordinatorSaysIsUnknownIsAnError() {
    Status told = Status.UNKNOWN.withDescription("Unexpected KeyError");
    assertFalse(Calls.isPassing(told, new Metadata()));
    assertEquals(ErrorKind.INTERNAL, from(told).kind());
    assertEquals("Unexpected KeyError", from(told).getMessage());
  }
}
