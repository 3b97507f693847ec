// PTX text to Module. nvcc writes one statement a line; inline assembly adds braces.
#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>

#include "tests/ptx/module.h"

namespace reel::ptx {
namespace {

std::string trim(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// At the commas outside braces and brackets.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (const char c : text) {
    depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    if (c == ',' && depth == 0) {
      parts.push_back(trim(part));
      part.clear();
    } else {
      part += c;
    }
  }
  if (!trim(part).empty()) parts.push_back(trim(part));
  return parts;
}

std::size_t round_up(std::size_t size, std::size_t alignment) { return (size + alignment - 1) / alignment * alignment; }

const std::map<std::string, int> kSpecial = {{"%tid.x", kThreadX},
                                             {"%tid.y", kThreadY},
                                             {"%tid.z", kThreadZ},
                                             {"%ctaid.x", kBlockX},
                                             {"%ctaid.y", kBlockY},
                                             {"%ctaid.z", kBlockZ},
                                             {"%ntid.x", kSizeX},
                                             {"%ntid.y", kSizeY},
                                             {"%ntid.z", kSizeZ},
                                             {"%nctaid.x", kGridX},
                                             {"%nctaid.y", kGridY},
                                             {"%nctaid.z", kGridZ},
                                             {"%cluster_ctarank", kClusterRank}};

/// Reads one kernel's body.
class KernelParser {
 public:
  KernelParser(std::string name, std::size_t parameter_bytes, const std::map<std::string, std::size_t>& dynamic) {
    kernel_.name = std::move(name);
    kernel_.parameter_bytes = parameter_bytes;
    symbols_[kernel_.name + "_param_0"] = 0;
    for (const auto& [symbol, alignment] : dynamic) dynamic_[symbol] = alignment;
  }

  void statement(std::string text) {
    text = trim(text);
    while (!text.empty() && text.front() == '{') text = trim(text.substr(1));
    while (!text.empty() && (text.back() == '}' || text.back() == ';')) {
      if (text.back() == '}' && std::ranges::count(text, '{') > 0) break;  // a list's
      text = trim(text.substr(0, text.size() - 1));
    }
    if (text.empty()) return;
    if (text.back() == ':') {
      labels_[text.substr(0, text.size() - 1)] = static_cast<int>(kernel_.code.size());
    } else if (text.front() == '.') {
      directive(text);
    } else {
      instruction(text);
    }
  }

  Kernel finish() {
    for (auto& [index, label] : branches_) kernel_.code[index].target = labels_.at(label);
    // Dynamic shared memory begins after the static variables.
    kernel_.static_shared = round_up(kernel_.static_shared, 128);
    for (auto& [index, symbol] : dynamic_uses_) kernel_.code[index].source[0].value = kernel_.static_shared;
    return std::move(kernel_);
  }

 private:
  void directive(const std::string& text) {
    std::istringstream words(text);
    std::string kind;
    words >> kind;
    if (kind == ".reg") return declare_registers(text);
    if (kind == ".shared" || kind == ".local") {
      std::string align, name, type;
      std::size_t alignment = 1;
      words >> align >> alignment >> type >> name;
      const auto bracket = name.find('[');
      const std::size_t size = bracket == std::string::npos ? std::stoul(type.substr(2)) / 8  // .u8 name
                                                            : std::stoul(name.substr(bracket + 1));
      std::size_t& used = kind == ".shared" ? kernel_.static_shared : kernel_.local_bytes;
      used = round_up(used, alignment);
      symbols_[name.substr(0, bracket)] = used;
      used += size;
    } else if (kind != ".pragma" && kind != ".loc") {
      throw Error("PTX directive: " + text);
    }
  }

  /// .reg .b32 %r<12>; or .reg .b64 %SPL;
  void declare_registers(const std::string& text) {
    for (std::string name : split(text.substr(text.find(' ', 5) + 1))) {
      name = trim(name.substr(name.find('%')));
      const auto bracket = name.find('<');
      if (bracket == std::string::npos) {
        registers_[name] = kernel_.registers++;
        continue;
      }
      const int count = std::stoi(name.substr(bracket + 1));
      for (int i = 0; i < count; ++i) registers_[name.substr(0, bracket) + std::to_string(i)] = kernel_.registers++;
    }
  }

  Operand operand(const std::string& text) {
    if (text == "_") return {};
    if (const auto found = registers_.find(text); found != registers_.end()) {
      return {Operand::Kind::kRegister, found->second, 0};
    }
    if (text == "%temp") {
      registers_[text] = kernel_.registers;
      return {Operand::Kind::kRegister, kernel_.registers++, 0};
    }
    if (const auto found = kSpecial.find(text); found != kSpecial.end()) {
      return {Operand::Kind::kSpecial, found->second, 0};
    }
    if (const auto found = symbols_.find(text); found != symbols_.end()) {
      return {Operand::Kind::kConstant, 0, found->second};
    }
    if (dynamic_.contains(text)) {
      dynamic_uses_.emplace_back(kernel_.code.size(), text);
      return {Operand::Kind::kConstant, 0, 0};
    }
    if (text.starts_with("0f") || text.starts_with("0d")) {
      return {Operand::Kind::kConstant, 0, std::stoull(text.substr(2), nullptr, 16)};
    }
    if (std::isdigit(static_cast<unsigned char>(text[0])) == 0 && text[0] != '-') throw Error("PTX operand: " + text);
    const std::uint64_t value =
        text[0] == '-' ? static_cast<std::uint64_t>(std::stoll(text, nullptr, 0)) : std::stoull(text, nullptr, 0);
    return {Operand::Kind::kConstant, 0, value};
  }

  /// One operand, {a list}, or [an address]: base register or symbol, and offset.
  std::vector<Operand> operands(const std::string& text) {
    if (text.front() == '[') {
      const std::string inner = text.substr(1, text.size() - 2);
      const auto plus = inner.find('+');
      Operand base = operand(trim(inner.substr(0, plus)));
      std::uint64_t offset =
          plus == std::string::npos ? 0 : static_cast<std::uint64_t>(std::stoll(inner.substr(plus + 1), nullptr, 0));
      return {base, {Operand::Kind::kConstant, 0, offset}};
    }
    if (text.front() != '{') return {operand(text)};
    std::vector<Operand> list;
    for (const std::string& part : split(text.substr(1, text.size() - 2))) list.push_back(operand(part));
    return list;
  }

  void instruction(std::string text) {
    Instruction in;
    in.text = text;
    if (text.front() == '@') {
      const auto space = text.find_first_of(" \t");
      in.negated = text[1] == '!';
      in.predicate = registers_.at(text.substr(in.negated ? 2 : 1, space - (in.negated ? 2 : 1)));
      text = trim(text.substr(space));
    }
    const auto space = text.find_first_of(" \t");
    const std::string opcode = text.substr(0, space);
    std::vector<std::string> parts =
        space == std::string::npos ? std::vector<std::string>() : split(text.substr(space));
    decode(in, opcode, parts);
    kernel_.code.push_back(std::move(in));
  }

  void decode(Instruction& in, const std::string& opcode, std::vector<std::string>& parts) {
    const auto begins = [&](const char* what) { return opcode.starts_with(what); };
    if (begins("bra")) {
      in.action = Action::kBranch;
      branches_.emplace_back(kernel_.code.size(), parts.at(0));
    } else if (begins("ret")) {
      in.action = Action::kReturn;
    } else if (begins("bar.sync")) {
      in.action = Action::kBarrier;
    } else if (begins("bar.warp.sync")) {
      if (parts.at(0) != "-1") throw Error("PTX instruction not known: " + in.text);
      in.action = Action::kWarpBarrier;
    } else if (begins("barrier.cluster.arrive.release.aligned")) {
      in.action = Action::kClusterArrive;
    } else if (begins("barrier.cluster.wait.acquire.aligned")) {
      in.action = Action::kClusterWait;
    } else if (begins("cp.async.commit_group")) {
      in.action = Action::kCommit;
    } else if (begins("cp.async.wait_group")) {
      in.action = Action::kWait;
      in.target = std::stoi(parts.at(0));
    } else if (begins("cp.async.c")) {
      in.action = Action::kCopyAsync;
      in.bytes = std::stoi(parts.at(2));
      in.destination = operands(parts[0]);
      in.source = operands(parts[1]);
      if (parts.size() > 3) in.source2 = operands(parts[3]);
    } else if (begins("mbarrier.init.shared::cta.b64")) {
      in.action = Action::kInitBarrier;
      in.destination = operands(parts.at(0));
      in.source = operands(parts.at(1));
    } else if (begins("mbarrier.arrive.expect_tx.relaxed.cta.shared::cta.b64")) {
      in.action = Action::kExpectBytes;
      in.destination = operands(parts.at(1));
      in.source = operands(parts.at(2));
    } else if (begins("mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64")) {
      in.action = Action::kTryWait;
      in.destination = operands(parts.at(0));
      in.source = operands(parts.at(1));
      in.source2 = operands(parts.at(2));
    } else if (begins("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.")) {
      decode_memory(in, opcode, Action::kStoreAsync);
      in.destination = operands(parts.at(0));
      in.source = operands(parts.at(1));
      in.source2 = operands(parts.at(2));
    } else if (begins("st.")) {
      decode_memory(in, opcode, Action::kStore);
      in.destination = operands(parts.at(0));
      in.source = operands(parts.at(1));
    } else {
      decode_result(in, opcode, parts);
    }
  }

  /// Instructions that write registers.
  void decode_result(Instruction& in, const std::string& opcode, std::vector<std::string>& parts) {
    const std::string first = parts.at(0).substr(0, parts[0].find('|'));  // shfl's predicate is never used
    in.destination = operands(first);
    const auto rest = [&](std::size_t i) { return i < parts.size() ? operands(parts[i]) : std::vector<Operand>(); };
    if (opcode.starts_with("ld.")) {
      decode_memory(in, opcode, Action::kLoad);
      in.source = rest(1);
    } else if (opcode == "atom.acq_rel.gpu.inc.u32") {
      decode_memory(in, opcode, Action::kCount);
      in.source = rest(1);
      in.source2 = rest(2);
    } else if (opcode.starts_with("mov.")) {
      in.action = Action::kMove;
      in.bytes = opcode.ends_with("64") ? 8 : opcode.ends_with("32") ? 4 : 1;
      in.source = rest(1);
    } else if (opcode == "shfl.sync.bfly.b32" || opcode == "shfl.sync.idx.b32") {
      in.action = opcode == "shfl.sync.idx.b32" ? Action::kShuffle : Action::kShuffleXor;
      in.source = {rest(1)[0], rest(2)[0], rest(3)[0], rest(4)[0]};
    } else if (opcode == "ldmatrix.sync.aligned.m8n8.x4.shared.b16") {
      in.action = Action::kLoadMatrix;
      in.source = rest(1);
    } else if (opcode == "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16") {
      in.action = Action::kLoadMatrixTransposed;
      in.source = rest(1);
    } else if (opcode.starts_with("mma.sync.aligned.m16n8k16.row.col.f32.")) {
      in.action = opcode.ends_with("f32.f16.f16.f32") ? Action::kMultiplyFp16 : Action::kMultiplyBf16;
      in.source = rest(1);
      in.source2 = rest(2);
      in.source3 = rest(3);
    } else {
      in.compute = find_compute(opcode);
      if (in.compute == nullptr) throw Error("PTX instruction not known: " + in.text);
      for (std::size_t i = 1; i < parts.size(); ++i) in.source.push_back(operands(parts[i])[0]);
      in.source.resize(3);
    }
  }

  static void decode_memory(Instruction& in, const std::string& opcode, Action action) {
    in.action = action;
    in.space = opcode.find(".param") != std::string::npos             ? Space::kParameter
               : opcode.find(".shared::cluster") != std::string::npos ? Space::kCluster
               : opcode.find(".shared") != std::string::npos          ? Space::kShared
               : opcode.find(".local") != std::string::npos           ? Space::kLocal
                                                                      : Space::kGlobal;
    const std::string type = opcode.substr(opcode.rfind('.') + 1);
    in.bytes = std::stoi(type.substr(1)) / 8;
    in.sign_extended = type[0] == 's';
  }

  Kernel kernel_;
  std::map<std::string, int> registers_, labels_;
  std::map<std::string, std::size_t> symbols_, dynamic_;
  std::vector<std::pair<std::size_t, std::string>> branches_, dynamic_uses_;
};

}  // namespace

Module::Module(const std::string& text) {
  std::istringstream lines(text);
  std::map<std::string, std::size_t> dynamic;
  std::string line, name;
  while (std::getline(lines, line)) {
    line = trim(line.substr(0, line.find("//")));
    if (line.starts_with(".extern .shared")) {
      const auto end = line.find('[');
      const auto begin = line.find_last_of(" \t", end) + 1;
      dynamic[line.substr(begin, end - begin)] = 128;
    }
    const auto entry = line.find(".entry ");
    if (entry == std::string::npos) continue;
    name = line.substr(entry + 7, line.find('(') - entry - 7);
    std::getline(lines, line);  // .param .align 8 .b8 NAME_param_0[64]
    KernelParser parser(name, std::stoul(line.substr(line.find('[') + 1)), dynamic);
    while (std::getline(lines, line) && trim(line) != "{") {
    }
    int depth = 1;  // braces of inline assembly open and close within the body
    while (std::getline(lines, line)) {
      line = trim(line.substr(0, line.find("//")));
      if (line == "{") ++depth;
      if (line == "}" && --depth == 0) break;
      std::istringstream statements(line);
      for (std::string part; std::getline(statements, part, ';');) parser.statement(part);
    }
    kernels_.push_back(parser.finish());
  }
}

const Kernel* Module::find(const std::string& suffix) const {
  const auto found = std::ranges::find_if(kernels_, [&](const Kernel& k) { return k.name.ends_with(suffix); });
  return found == kernels_.end() ? nullptr : &*found;
}

}  // namespace reel::ptx
