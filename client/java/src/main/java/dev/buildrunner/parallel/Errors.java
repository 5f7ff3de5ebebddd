package dev.buildrunner.parallel;

import static java.util.Map.entry;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.buildrunner.parallel.v1.LockConflict;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** From a call's status to the exception that it stands for. */
final class Errors {
  private static final String DOMAIN = "parallel.buildrunner.dev";

  private static final Map<String, ErrorKind> BY_REASON =
      Map.ofEntries(
          entry("SESSION_NOT_FOUND", ErrorKind.NOT_FOUND),
          entry("TASK_NOT_FOUND", ErrorKind.NOT_FOUND),
          entry("WORKER_NOT_FOUND", ErrorKind.NOT_FOUND),
          entry("WORKSPACE_NOT_FOUND", ErrorKind.NOT_FOUND),
          entry("LOCK_NOT_FOUND", ErrorKind.NOT_FOUND),
          entry("LOCK_NOT_HELD", ErrorKind.NOT_FOUND),
          entry("AMBIGUOUS_ID", ErrorKind.NOT_FOUND),
          entry("NO_PATCH", ErrorKind.NOT_FOUND),
          entry("WRONG_STATE", ErrorKind.WRONG_STATE),
          entry("SESSION_CLOSED", ErrorKind.WRONG_STATE),
          entry("INVALID", ErrorKind.INVALID),
          entry("UNKNOWN_NEED", ErrorKind.INVALID),
          entry("CYCLE", ErrorKind.INVALID),
          entry("LIMIT", ErrorKind.LIMIT),
          entry("LOCK_CONFLICT", ErrorKind.CONFLICT),
          entry("DEADLOCK", ErrorKind.CONFLICT),
          entry("STALE", ErrorKind.STALE),
          entry("DRAINING", ErrorKind.UNAVAILABLE),
          entry("STOPPING", ErrorKind.UNAVAILABLE));

  private Errors() {}

  /** The details of a status: reason, when to try again, and each clash. */
  private static final class Details {
    String reason = "";
    Duration retryAfter;
    final List<LockConflict> conflicts = new ArrayList<>();

    Details(Status status, Metadata trailers) {
      if (trailers == null) {
        return;
      }
      com.google.rpc.Status packed = StatusProto.fromStatusAndTrailers(status, trailers);
      for (Any any : packed.getDetailsList()) {
        try {
          take(any);
        } catch (InvalidProtocolBufferException e) {
          // Of a newer coordinator's; what can be read is enough.
        }
      }
    }

    private void take(Any any) throws InvalidProtocolBufferException {
      if (any.is(ErrorInfo.class)) {
        ErrorInfo info = any.unpack(ErrorInfo.class);
        if (info.getDomain().isEmpty() || info.getDomain().equals(DOMAIN)) {
          reason = info.getReason();
        }
      } else if (any.is(RetryInfo.class)) {
        var delay = any.unpack(RetryInfo.class).getRetryDelay();
        retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
      } else if (any.is(LockConflict.class)) {
        conflicts.add(any.unpack(LockConflict.class));
      }
    }
  }

  /** The reason in the status' details; empty when it has none of ours. */
  static String reasonOf(Status status, Metadata trailers) {
    return new Details(status, trailers).reason;
  }

  /** The exception for a status; {@code address} is named when nobody answered there. */
  static BuildRunnerException from(
      Status status, Metadata trailers, String address, Throwable cause) {
    Details details = new Details(status, trailers);
    ErrorKind kind = BY_REASON.getOrDefault(details.reason, kindOf(status));
    String text = textOf(status, details.reason, address);
    if (kind == ErrorKind.CONFLICT) {
      return new LockConflictException(details.reason, text, details.conflicts, cause);
    }
    return new BuildRunnerException(kind, details.reason, text, details.retryAfter, cause);
  }

  /**
   * Nobody answered: the connection could not be made, or it was cut off. A channel that was closed
   * at the wrong moment is UNKNOWN to gRPC, and a coordinator that ends cancels what it was asked.
   */
  static boolean isUnavailable(Status status) {
    boolean isCut =
        status.getCode() == Status.Code.UNKNOWN && status.getCause() instanceof IOException;
    return isCut
        || status.getCode() == Status.Code.UNAVAILABLE
        || status.getCode() == Status.Code.CANCELLED;
  }

  private static ErrorKind kindOf(Status status) {
    if (isUnavailable(status)) {
      return ErrorKind.UNAVAILABLE;
    }
    return switch (status.getCode()) {
      case UNAUTHENTICATED, PERMISSION_DENIED -> ErrorKind.UNAUTHENTICATED;
      case NOT_FOUND -> ErrorKind.NOT_FOUND;
      case FAILED_PRECONDITION -> ErrorKind.WRONG_STATE;
      case ABORTED -> ErrorKind.STALE;
      case ALREADY_EXISTS, INVALID_ARGUMENT, OUT_OF_RANGE -> ErrorKind.INVALID;
      case RESOURCE_EXHAUSTED -> ErrorKind.LIMIT;
      case UNIMPLEMENTED -> ErrorKind.UNSUPPORTED;
      case DEADLINE_EXCEEDED -> ErrorKind.UNAVAILABLE;
      default -> ErrorKind.INTERNAL;
    };
  }

  private static String textOf(Status status, String reason, String address) {
    String told = status.getDescription() == null ? "" : status.getDescription();
    if (reason.isEmpty() && isUnavailable(status)) {
      return "the coordinator at "
          + address
          + " cannot be reached ("
          + told
          + "); see whether it runs, then try again";
    }
    if (reason.isEmpty() && status.getCode() == Status.Code.DEADLINE_EXCEEDED) {
      return "the coordinator at "
          + address
          + " did not answer in time; see whether its machine is overloaded, then try again";
    }
    return told.isEmpty() ? "the call ended with " + status.getCode() : told;
  }
}
