#include "output_book.h"

#include <algorithm>
#include <iterator>

namespace buildrunner_parallel {
namespace {

constexpr int64_t kBlockBytes = 64 << 10;
// What a piece costs in a message besides its data, at the most.
constexpr int64_t kPieceCostBytes = 32;

}  // namespace

void OutputBook::add(v1::OutputChannel channel, std::string_view data) {
  while (!data.empty()) {
    Block& block = open_block();
    const auto size = static_cast<int64_t>(block.data.size());
    int64_t room = kBlockBytes - size;
    if (total_ < head_bytes_) room = std::min(room, head_bytes_ - total_);
    const std::string_view piece = data.substr(0, static_cast<size_t>(room));
    if (block.marks.empty() || block.marks.back().channel != static_cast<uint32_t>(channel)) {
      block.marks.push_back({static_cast<uint32_t>(size), static_cast<uint32_t>(channel)});
    }
    block.data.append(piece);
    total_ += static_cast<int64_t>(piece.size());
    data.remove_prefix(piece.size());
  }
  // The oldest of the end goes, whole blocks, while what is left is as much as must be kept.
  for (auto oldest = blocks_.lower_bound(head_bytes_); oldest != blocks_.end();) {
    const int64_t end = oldest->first + static_cast<int64_t>(oldest->second.data.size());
    if (end == total_ || total_ - end < tail_bytes_) break;
    oldest = blocks_.erase(oldest);
  }
}

// The block that the next byte belongs to. None reaches over the end of the beginning.
OutputBook::Block& OutputBook::open_block() {
  if (!blocks_.empty() && total_ != head_bytes_) {
    auto& [offset, last] = *blocks_.rbegin();
    const auto size = static_cast<int64_t>(last.data.size());
    if (offset + size == total_ && size < kBlockBytes) return last;
  }
  return blocks_[total_];
}

std::vector<v1::OutputChunk> OutputBook::from(int64_t position, int64_t most_bytes, int64_t until) const {
  std::vector<v1::OutputChunk> pieces;
  until = std::min(until, total_);
  auto block = blocks_.upper_bound(position);
  if (block != blocks_.begin()) --block;
  for (; block != blocks_.end() && block->first < until; ++block) {
    const auto& [offset, held] = *block;
    const int64_t size = std::min(static_cast<int64_t>(held.data.size()), until - offset);
    int64_t at = std::max<int64_t>(position - offset, 0);
    auto next = std::upper_bound(held.marks.begin(), held.marks.end(), at,
                                 [](int64_t wanted, const Mark& one) { return wanted < one.at; });
    while (at < size) {
      if (!pieces.empty() && most_bytes <= kPieceCostBytes) return pieces;
      const int64_t run_end = next == held.marks.end() ? size : std::min<int64_t>(size, next->at);
      const int64_t length = std::min(run_end - at, std::max<int64_t>(most_bytes - kPieceCostBytes, 1));
      v1::OutputChunk& piece = pieces.emplace_back();
      piece.set_offset(offset + at);
      piece.set_channel(static_cast<v1::OutputChannel>(std::prev(next)->channel));
      piece.set_data(held.data.data() + at, static_cast<size_t>(length));
      piece.set_dropped_bytes(offset + at - position);
      most_bytes -= length + kPieceCostBytes;
      at += length;
      position = offset + at;
      if (at == run_end && next != held.marks.end()) ++next;
    }
  }
  if (pieces.empty() && position < until) {
    v1::OutputChunk& end = pieces.emplace_back();
    end.set_offset(until);
    end.set_channel(v1::OUTPUT_CHANNEL_STDOUT);
    end.set_dropped_bytes(until - position);
  }
  return pieces;
}

void OutputBook::release(int64_t offset) {
  for (auto first = blocks_.begin(); first != blocks_.end();) {
    if (first->first + static_cast<int64_t>(first->second.data.size()) > offset) return;
    first = blocks_.erase(first);
  }
}

int64_t OutputBook::held_bytes() const {
  int64_t held = 0;
  for (const auto& [offset, block] : blocks_) held += static_cast<int64_t>(block.data.size());
  return held;
}

}  // namespace buildrunner_parallel
