// What a task writes, in the order read: so much of its beginning, so much of its end, and how much is
// missing between.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "buildrunner_parallel/v1/types.pb.h"

namespace buildrunner_parallel {

// Both channels share one line of offsets. What is held is bounded by the two sizes, whatever the pieces that
// it was written in.
class OutputBook {
 public:
  OutputBook(int64_t head_bytes, int64_t tail_bytes) : head_bytes_(head_bytes), tail_bytes_(tail_bytes) {}

  void add(v1::OutputChannel channel, std::string_view data);

  // What is held from `position` on, in order, of what lies before `until`: about so many bytes, but at least
  // one piece if there is any. A piece says how much is missing between it and what came before it; an empty
  // one stands at the end when nothing is held there any more.
  std::vector<v1::OutputChunk> from(int64_t position, int64_t most_bytes,
                                    int64_t until = std::numeric_limits<int64_t>::max()) const;
  // Everything before `offset` is somewhere else by now.
  void release(int64_t offset);

  // Offset behind the last byte.
  int64_t total_bytes() const { return total_; }
  // Offset behind the last byte of the beginning, of which nothing will ever be missing.
  int64_t head_end() const { return std::min(total_, head_bytes_); }
  // What is kept by nobody.
  int64_t dropped_bytes() const { return std::max<int64_t>(total_ - head_bytes_ - tail_bytes_, 0); }
  int64_t held_bytes() const;

 private:
  // Small, since a task may change its channel with each byte.
  struct Mark {
    uint32_t at : 30;  // in its block
    uint32_t channel : 2;
  };
  struct Block {
    std::string data;
    std::vector<Mark> marks;  // where the channel changes; the first is at 0
  };

  Block& open_block();

  int64_t head_bytes_;
  int64_t tail_bytes_;
  int64_t total_ = 0;
  std::map<int64_t, Block> blocks_;  // by offset
};

}  // namespace buildrunner_parallel
