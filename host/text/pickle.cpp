#include "host/text/pickle.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

enum class Kind : std::uint8_t { kMark, kPlain, kInteger, kText, kGlobal, kSequence, kArray };

/// An integer, or for the other kinds an index into the machine's tables.
struct Value {
  Kind kind = Kind::kPlain;
  std::int64_t number = 0;
};

constexpr std::array<std::string_view, 4> kAllowed = {
    "numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"};

/// The pickle machine of Python's Lib/pickletools.py, reduced to the opcodes that such arrays use.
class Unpickler {
 public:
  Unpickler(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::vector<std::vector<std::int64_t>> run() {
    for (char opcode = take(1)[0]; opcode != '.'; opcode = take(1)[0]) step(opcode);
    return result(pop());
  }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - offset_) fail("{}: the pickle ends early", where_);
    const std::string_view taken = bytes_.substr(offset_, count);
    offset_ += count;
    return taken;
  }
  template <class Unsigned>
  Unsigned number() {
    Unsigned value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', offset_);
    if (end == std::string_view::npos) fail("{}: the pickle ends early", where_);
    const std::string_view text = take(end - offset_);
    take(1);
    return text;
  }

  [[noreturn]] void damaged() { fail("{}: damaged pickle near byte {}", where_, offset_); }
  void push(Kind kind, std::int64_t value = 0) {
    if (++values_ > kMaxPickleValues) fail("{}: a pickle of more than {} values", where_, kMaxPickleValues);
    stack_.push_back({kind, value});
  }
  Value pop() {
    if (stack_.empty() || stack_.back().kind == Kind::kMark) damaged();
    const Value value = stack_.back();
    stack_.pop_back();
    return value;
  }
  /// What takes more memory than a value.
  template <class T>
  void add_to(std::vector<T>& table, T object) {
    if (texts_.size() + sequences_.size() + arrays_.size() >= kMaxPickleObjects) {
      fail("{}: a pickle of more than {} lists, texts and arrays", where_, kMaxPickleObjects);
    }
    table.push_back(std::move(object));
  }
  void push_text(std::string_view text) {
    add_to(texts_, text);
    push(Kind::kText, static_cast<std::int64_t>(texts_.size()) - 1);
  }
  std::vector<Value>& sequence(const Value& value) {
    if (value.kind != Kind::kSequence) damaged();
    return sequences_[static_cast<std::size_t>(value.number)];
  }
  void push_sequence(std::vector<Value> items) {
    add_to(sequences_, std::move(items));
    push(Kind::kSequence, static_cast<std::int64_t>(sequences_.size()) - 1);
  }
  /// Everything above the last mark, which is removed too.
  std::vector<Value> pop_to_mark() {
    const auto mark = std::find_if(stack_.rbegin(), stack_.rend(), [](Value v) { return v.kind == Kind::kMark; });
    if (mark == stack_.rend()) damaged();
    std::vector<Value> items(mark.base(), stack_.end());
    stack_.erase(mark.base() - 1, stack_.end());
    return items;
  }
  void append(const std::vector<Value>& items) {
    if (stack_.empty()) damaged();
    std::vector<Value>& list = sequence(stack_.back());
    list.insert(list.end(), items.begin(), items.end());
  }
  void push_tuple(std::size_t size) {
    std::vector<Value> items(size);
    for (std::size_t i = size; i-- > 0;) items[i] = pop();
    push_sequence(std::move(items));
  }
  void push_global(const std::string& name) {
    if (std::ranges::find(kAllowed, name) == kAllowed.end()) {
      fail("{}: the pickle asks for {}, expected nothing but numpy.ndarray, numpy.dtype and _reconstruct", where_,
           name);
    }
    push(Kind::kGlobal);
  }
  void memoize(std::uint64_t index) {
    if (stack_.empty()) damaged();
    memo_[index] = stack_.back();
    if (memo_.size() > kMaxPickleMemo) fail("{}: a pickle that remembers more than {} values", where_, kMaxPickleMemo);
  }
  void recall(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) damaged();
    push(found->second.kind, found->second.number);
  }

  /// REDUCE: a known global with its arguments is an array (or a dtype) in the making; BUILD gives it its state.
  void reduce() {
    sequence(pop());
    if (pop().kind != Kind::kGlobal) damaged();
    add_to(arrays_, Value());
    push(Kind::kArray, static_cast<std::int64_t>(arrays_.size()) - 1);
  }
  void build() {
    const Value state = pop();
    if (stack_.empty() || stack_.back().kind != Kind::kArray) damaged();
    arrays_[static_cast<std::size_t>(stack_.back().number)] = state;
  }

  std::int64_t long_integer(std::string_view bytes) {
    if (bytes.size() > sizeof(std::int64_t)) fail("{}: an integer of {} bytes", where_, bytes.size());
    std::uint64_t value = !bytes.empty() && (bytes.back() & 0x80) ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return static_cast<std::int64_t>(value);
  }

  void step(char opcode);
  std::vector<std::vector<std::int64_t>> result(const Value& value);

  std::string_view bytes_;
  std::string where_;
  std::size_t offset_ = 0;
  std::vector<Value> stack_;
  std::vector<std::string_view> texts_;
  std::vector<std::vector<Value>> sequences_;
  std::vector<Value> arrays_;  // the state that BUILD gave, by array
  std::unordered_map<std::uint64_t, Value> memo_;
  std::size_t values_ = 0;  // pushed so far
};

void Unpickler::step(char opcode) {
  switch (opcode) {
    case '\x80':  // PROTO
      take(1);
      return;
    case '\x95':  // FRAME
      take(8);
      return;
    case 'N':     // NONE
    case '\x88':  // NEWTRUE
    case '\x89':  // NEWFALSE
      return push(Kind::kPlain);
    case 'K':  // BININT1
      return push(Kind::kInteger, number<std::uint8_t>());
    case 'M':  // BININT2
      return push(Kind::kInteger, number<std::uint16_t>());
    case 'J':  // BININT
      return push(Kind::kInteger, static_cast<std::int32_t>(number<std::uint32_t>()));
    case '\x8a':  // LONG1
      return push(Kind::kInteger, long_integer(take(number<std::uint8_t>())));
    case 'C':     // SHORT_BINBYTES
    case 'U':     // SHORT_BINSTRING
    case '\x8c':  // SHORT_BINUNICODE
      return push_text(take(number<std::uint8_t>()));
    case 'B':  // BINBYTES
    case 'T':  // BINSTRING
    case 'X':  // BINUNICODE
      return push_text(take(number<std::uint32_t>()));
    case 'c': {  // GLOBAL
      const std::string module(line()), name(line());
      return push_global(module + "." + name);
    }
    case '\x93': {  // STACK_GLOBAL
      const Value name = pop(), module = pop();
      if (name.kind != Kind::kText || module.kind != Kind::kText) damaged();
      return push_global(std::string(texts_[static_cast<std::size_t>(module.number)]) + "." +
                         std::string(texts_[static_cast<std::size_t>(name.number)]));
    }
    case '(':  // MARK
      return push(Kind::kMark);
    case ']':  // EMPTY_LIST
    case ')':  // EMPTY_TUPLE
      return push_sequence({});
    case 't':  // TUPLE
    case 'l':  // LIST
      return push_sequence(pop_to_mark());
    case '\x85':  // TUPLE1, TUPLE2, TUPLE3
    case '\x86':
    case '\x87':
      return push_tuple(static_cast<std::size_t>(static_cast<unsigned char>(opcode) - 0x84));
    case 'a':  // APPEND
      return append({pop()});
    case 'e':  // APPENDS
      return append(pop_to_mark());
    case 'R':
      return reduce();
    case 'b':
      return build();
    case '\x94':  // MEMOIZE
      return memoize(memo_.size());
    case 'q':  // BINPUT
      return memoize(number<std::uint8_t>());
    case 'r':  // LONG_BINPUT
      return memoize(number<std::uint32_t>());
    case 'h':  // BINGET
      return recall(number<std::uint8_t>());
    case 'j':  // LONG_BINGET
      return recall(number<std::uint32_t>());
    default:
      fail("{}: pickle opcode 0x{:02x} at byte {}, which no imdb.npz needs", where_, static_cast<unsigned char>(opcode),
           offset_ - 1);
  }
}

/// The state of an array is (version, (length,), dtype, is_fortran, items): numpy.ndarray.__setstate__.
std::vector<std::vector<std::int64_t>> Unpickler::result(const Value& value) {
  if (value.kind != Kind::kArray) damaged();
  const std::vector<Value>& state = sequence(arrays_[static_cast<std::size_t>(value.number)]);
  if (state.size() != 5) damaged();
  const std::vector<Value>& shape = sequence(state[1]);
  const std::vector<Value>& items = sequence(state[4]);
  if (shape.size() != 1 || shape[0].number != static_cast<std::int64_t>(items.size())) {
    fail("{}: expected a one-dimensional array, with as many lists as its shape says", where_);
  }
  // An integer takes a byte or more, unless a list is referred to again and again: then a few bytes are many integers.
  std::size_t room = bytes_.size();
  std::vector<std::vector<std::int64_t>> lists;
  lists.reserve(items.size());
  for (const Value& item : items) {
    std::vector<std::int64_t>& list = lists.emplace_back();
    if (item.kind != Kind::kSequence)
      fail("{}: review {} is none of the lists of integers that were expected", where_, lists.size());
    if (sequence(item).size() > room) fail("{}: more integers than the {} bytes of the pickle", where_, bytes_.size());
    room -= sequence(item).size();
    for (const Value& element : sequence(item)) {
      if (element.kind != Kind::kInteger) fail("{}: list {} holds something other than integers", where_, lists.size());
      list.push_back(element.number);
    }
  }
  return lists;
}

}  // namespace

std::vector<std::vector<std::int64_t>> unpickle_lists(std::string_view bytes, const std::string& where) {
  return Unpickler(bytes, where).run();
}

}  // namespace reel
