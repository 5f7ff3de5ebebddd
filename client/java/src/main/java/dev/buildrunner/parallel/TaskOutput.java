package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;

/**
 * What a task wrote.
 *
 * @param droppedBytes how much fell out of the middle because of the cap
 */
public record TaskOutput(ByteString stdout, ByteString stderr, long droppedBytes) {}
