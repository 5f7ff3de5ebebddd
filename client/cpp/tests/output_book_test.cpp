#include "output_book.h"

#include <gtest/gtest.h>

namespace br = buildrunner_parallel;
namespace v1 = buildrunner_parallel::v1;

namespace {

constexpr auto kOut = v1::OUTPUT_CHANNEL_STDOUT, kErr = v1::OUTPUT_CHANNEL_STDERR;
constexpr int64_t kAll = 1 << 30;

struct Piece {
  int64_t offset;
  v1::OutputChannel channel;
  std::string data;
  int64_t dropped;
  bool operator==(const Piece&) const = default;
};

void PrintTo(const Piece& piece, std::ostream* out) {
  *out << piece.offset << (piece.channel == kOut ? " out '" : " err '") << piece.data << "' -"
       << piece.dropped;
}

std::vector<Piece> shown(const std::vector<v1::OutputChunk>& chunks) {
  std::vector<Piece> all;
  for (const auto& one : chunks)
    all.push_back({one.offset(), one.channel(), one.data(), one.dropped_bytes()});
  return all;
}

using Pieces = std::vector<Piece>;

TEST(OutputBook, BothChannelsShareOneLineOfOffsets) {
  br::OutputBook book(100, 50);
  book.add(kOut, "one ");
  book.add(kOut, "two ");
  book.add(kErr, "three");
  EXPECT_EQ(shown(book.from(0, kAll)), (Pieces{{0, kOut, "one two ", 0}, {8, kErr, "three", 0}}));
  EXPECT_EQ(shown(book.from(6, kAll)), (Pieces{{6, kOut, "o ", 0}, {8, kErr, "three", 0}}));
  EXPECT_EQ(shown(book.from(6, kAll, 10)), (Pieces{{6, kOut, "o ", 0}, {8, kErr, "th", 0}}));
  EXPECT_EQ(shown(book.from(13, kAll)), Pieces{});
  EXPECT_EQ(book.total_bytes(), 13);
  EXPECT_EQ(book.dropped_bytes(), 0);
}

TEST(OutputBook, BeyondTheCapsTheMiddleGoesAndIsCounted) {
  br::OutputBook book(100'000, 50'000);
  for (int i = 0; i < 1'000; ++i) book.add(kOut, std::string(1'000, static_cast<char>('a' + i % 26)));
  int64_t kept = 0;
  int64_t next = 0;
  for (const auto& chunk : book.from(0, kAll)) {
    EXPECT_EQ(chunk.offset(), next + chunk.dropped_bytes());
    next = chunk.offset() + static_cast<int64_t>(chunk.data().size());
    kept += static_cast<int64_t>(chunk.data().size());
    EXPECT_EQ(chunk.data()[0], 'a' + chunk.offset() / 1'000 % 26);
  }
  EXPECT_EQ(next, 1'000'000);
  EXPECT_EQ(kept, book.held_bytes());
  EXPECT_GE(kept, 150'000);
  EXPECT_LT(kept, 100'000 + 50'000 + (64 << 10));
  EXPECT_EQ(book.head_end(), 100'000);
  EXPECT_EQ(book.dropped_bytes(), 850'000);
}

TEST(OutputBook, WhatIsMissingCountsFromWhereOneGoesOn) {
  br::OutputBook book(4, 4);
  book.add(kOut, "head");
  book.add(kErr, std::string(64 << 10, 'x'));
  book.add(kOut, "tail");
  EXPECT_EQ(shown(book.from(2, kAll)),
            (Pieces{{2, kOut, "ad", 0}, {(64 << 10) + 4, kOut, "tail", 64 << 10}}));
  EXPECT_EQ(shown(book.from(100, kAll)), (Pieces{{(64 << 10) + 4, kOut, "tail", (64 << 10) - 96}}));
}

TEST(OutputBook, SoManyBytesAtATimeAndNoneTwice) {
  br::OutputBook book(1 << 20, 0);
  std::string written, got;
  for (int i = 0; i < 20'000; ++i) {
    const std::string line = std::to_string(i) + "\n";
    book.add(i % 7 == 0 ? kErr : kOut, line);
    written += line;
  }
  while (got.size() < written.size()) {
    const auto pieces = book.from(static_cast<int64_t>(got.size()), 1'000);
    ASSERT_FALSE(pieces.empty());
    size_t size = 0;
    for (const auto& piece : pieces) {
      ASSERT_EQ(piece.offset(), static_cast<int64_t>(got.size()));
      got += piece.data();
      size += piece.ByteSizeLong();
    }
    EXPECT_LE(size, 1'000u);
  }
  EXPECT_EQ(got, written);
}

TEST(OutputBook, WhatIsReleasedIsHeldNoMore) {
  br::OutputBook book(1 << 20, 1 << 20);
  book.add(kOut, std::string(200'000, 'x'));
  book.release(150'000);
  EXPECT_LT(book.held_bytes(), 200'000 - 2 * (64 << 10) + 1);
  EXPECT_EQ(book.from(150'000, kAll)[0].dropped_bytes(), 0);
  EXPECT_GT(book.from(0, kAll)[0].dropped_bytes(), 0);
  book.release(200'000);
  EXPECT_EQ(book.held_bytes(), 0);
  book.add(kErr, "more");
  EXPECT_EQ(shown(book.from(200'000, kAll)), (Pieces{{200'000, kErr, "more", 0}}));
  EXPECT_EQ(book.total_bytes(), 200'004);
}

TEST(OutputBook, WhereNothingIsHeldAnyMoreTheEndSaysHowMuchIsMissing) {
  br::OutputBook book(100, 100);
  book.add(kOut, "gone");
  book.release(4);
  EXPECT_EQ(shown(book.from(1, kAll)), (Pieces{{4, kOut, "", 3}}));
}

}  // namespace
