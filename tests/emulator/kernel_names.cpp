#include "tests/emulator/kernel_names.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

namespace reel::emulator {
namespace {

/// Functions of this program in anonymous namespaces, by address.
std::map<std::uintptr_t, std::string> read_symbols() {
  std::uintptr_t base = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
        return 1;  // the first one is the program itself
      },
      &base);
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto section = [&](std::size_t i) {
    Elf64_Shdr result;
    std::memcpy(&result, bytes.data() + header.e_shoff + i * header.e_shentsize, sizeof result);
    return result;
  };
  constexpr const char* kAnonymous = "_GLOBAL__N_1";
  std::map<std::uintptr_t, std::string> symbols;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr table = section(i);
    if (table.sh_type != SHT_SYMTAB) continue;
    const char* const names = bytes.data() + section(table.sh_link).sh_offset;
    for (std::size_t offset = 0; offset < table.sh_size; offset += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, bytes.data() + table.sh_offset + offset, sizeof symbol);
      const char* const anonymous = std::strstr(names + symbol.st_name, kAnonymous);
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || anonymous == nullptr) continue;
      symbols[base + symbol.st_value] = anonymous + std::strlen(kAnonymous);
    }
  }
  return symbols;
}

}  // namespace

std::string kernel_name(const void* kernel) {
  static const std::map<std::uintptr_t, std::string> symbols = read_symbols();
  const auto found = symbols.find(reinterpret_cast<std::uintptr_t>(kernel));
  return found == symbols.end() ? "" : found->second;
}

}  // namespace reel::emulator
