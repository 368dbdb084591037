// Runs a .pte file on raw tiles, without torch: under qemu-user and on a phone.
//
//   runner MODEL FOLDER TILES REPEATS
//
// reads FOLDER/in/TILE-INPUT.bin (little-endian, contiguous in the file's own shape and dtype), writes FOLDER/out/TILE-OUTPUT.bin in the same form and
// FOLDER/out/report.json: each output's dtype and shape, the milliseconds of REPEATS more runs of tile 0 after two warm-up runs, the number of threads, what
// the process's memory peaked at above its value at the start, and the processor features that kernels are chosen by.
// Exit status: 0 done, 2 the call or a tile does not fit, 4 the file cannot be loaded, 5 it cannot be run. The last line of stderr says why.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <string>
#include <vector>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

namespace {

[[noreturn]] void fail(int status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "\n");
  std::vfprintf(stderr, format, arguments);
  std::fprintf(stderr, "\n");
  va_end(arguments);
  std::exit(status);
}

const char* dtype_name(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Half: return "float16";
    case ScalarType::Byte: return "uint8";
    case ScalarType::Char: return "int8";
    default: return nullptr;
  }
}

// XNNPACK may read a few bytes beyond an input's end.
constexpr size_t kSlack = 256;

std::vector<uint8_t> read_tile(const std::string& path, size_t bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) fail(2, "%s: cannot be read (%s)", path.c_str(), std::strerror(errno));
  std::vector<uint8_t> data(bytes + kSlack);
  size_t found = std::fread(data.data(), 1, bytes + 1, file);
  std::fclose(file);
  if (found != bytes) fail(2, "%s: has %s bytes than the file's input, which takes %zu", path.c_str(), found < bytes ? "fewer" : "more", bytes);
  return data;
}

void write_tile(const std::string& path, const void* data, size_t bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(data, 1, bytes, file) != bytes || std::fclose(file) != 0) fail(2, "%s: cannot be written (%s)", path.c_str(), std::strerror(errno));
}

// Kilobytes of `key` in /proc/self/status, -1 where there is none.
long memory_kb(const char* key) {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  if (!file) return -1;
  char line[256];
  long found = -1;
  const size_t length = std::strlen(key);
  while (std::fgets(line, sizeof line, file))
    if (std::strncmp(line, key, length) == 0 && line[length] == ':') found = std::atol(line + length + 1);
  std::fclose(file);
  return found;
}

// This thread and those of the pool that XNNPACK runs on; the wheel's headers do not declare the pool itself.
int threads() {
  DIR* folder = opendir("/proc/self/task");
  if (!folder) return 1;
  int count = 0;
  while (dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

std::string features() {
  std::string found;
#if defined(__aarch64__)
  // Bits of AT_HWCAP and AT_HWCAP2, from Linux's arch/arm64/include/uapi/asm/hwcap.h.
  struct Feature { const char* name; bool second; unsigned bit; };
  const Feature known[] = {{"neon", false, 1},  {"fp16", false, 10}, {"dotprod", false, 20}, {"sve", false, 22},
                           {"sve2", true, 1},   {"i8mm", true, 13},  {"bf16", true, 14},     {"sme", true, 23}, {"sme2", true, 37}};
  for (const Feature& feature : known)
    if (getauxval(feature.second ? AT_HWCAP2 : AT_HWCAP) >> feature.bit & 1) found += std::string(found.empty() ? "" : ", ") + '"' + feature.name + '"';
#endif
  return found;
}

struct Input {
  std::vector<SizesType> sizes;
  ScalarType type;
  size_t bytes;
};

std::vector<Input> inputs_of(Module& module, const char* model) {
  auto meta = module.method_meta("forward");
  if (!meta.ok()) fail(4, "%s: has no method 'forward' (ExecuTorch error 0x%x)", model, static_cast<unsigned>(meta.error()));
  std::vector<Input> inputs;
  for (size_t i = 0; i < meta->num_inputs(); i++) {
    auto info = meta->input_tensor_meta(i);
    if (!info.ok() || !dtype_name(info->scalar_type())) fail(4, "%s: input %zu is no tensor of float32, float16, uint8 or int8", model, i);
    for (size_t d = 0; d < info->dim_order().size(); d++)
      if (info->dim_order()[d] != d) fail(4, "%s: input %zu is not contiguous", model, i);
    inputs.push_back({std::vector<SizesType>(info->sizes().begin(), info->sizes().end()), info->scalar_type(), info->nbytes()});
  }
  return inputs;
}

std::vector<EValue> run(Module& module, const char* model, std::vector<EValue>& tile) {
  auto result = module.forward(tile);
  if (!result.ok()) fail(5, "%s: is loaded but cannot be run (ExecuTorch error 0x%x)", model, static_cast<unsigned>(result.error()));
  return std::move(*result);
}

}  // namespace

int main(int count, char** words) {
  if (count != 5) fail(2, "expected: runner MODEL FOLDER TILES REPEATS");
  const char* model = words[1];
  const std::string folder = words[2];
  const int tiles = std::atoi(words[3]), repeats = std::atoi(words[4]);
  const long before_kb = memory_kb("VmRSS");

  Module module(model);
  Error error = module.load(executorch::runtime::Program::Verification::InternalConsistency);
  if (error == Error::Ok) error = module.load_forward();
  if (error != Error::Ok) fail(4, "%s: ExecuTorch cannot load it (error 0x%x)", model, static_cast<unsigned>(error));
  const std::vector<Input> inputs = inputs_of(module, model);

  std::string outputs, times;
  for (int tile = 0; tile < tiles; tile++) {
    std::vector<std::vector<uint8_t>> memory;
    std::vector<TensorPtr> tensors;
    std::vector<EValue> values;
    for (size_t i = 0; i < inputs.size(); i++) {
      memory.push_back(read_tile(folder + "/in/" + std::to_string(tile) + "-" + std::to_string(i) + ".bin", inputs[i].bytes));
      tensors.push_back(executorch::extension::from_blob(memory.back().data(), inputs[i].sizes, inputs[i].type));
      values.emplace_back(*tensors.back());
    }
    const std::vector<EValue> results = run(module, model, values);
    for (size_t i = 0; i < results.size(); i++) {
      if (!results[i].isTensor()) fail(5, "%s: output %zu is no tensor", model, i);
      const auto& tensor = results[i].toTensor();
      const char* type = dtype_name(tensor.scalar_type());
      if (!type) fail(5, "%s: output %zu is not float32, float16, uint8 or int8", model, i);
      std::string shape;
      for (ssize_t d = 0; d < tensor.dim(); d++) {
        if (tensor.dim_order()[d] != d) fail(5, "%s: output %zu is not contiguous", model, i);
        shape += (d ? ", " : "") + std::to_string(tensor.size(d));
      }
      if (tile == 0) outputs += std::string(i ? ", " : "") + "{\"dtype\": \"" + type + "\", \"shape\": [" + shape + "]}";
      write_tile(folder + "/out/" + std::to_string(tile) + "-" + std::to_string(i) + ".bin", tensor.const_data_ptr(), tensor.nbytes());
    }
    if (tile > 0 || repeats == 0) continue;
    for (int i = -2; i < repeats; i++) {
      const auto start = std::chrono::steady_clock::now();
      run(module, model, values);
      const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
      char text[32];
      std::snprintf(text, sizeof text, "%.4f", ms);
      if (i >= 0) times += (times.empty() ? "" : ", ") + std::string(text);
    }
  }

  const long peak_kb = memory_kb("VmHWM");
  const std::string peak = before_kb < 0 || peak_kb < 0 ? "null" : std::to_string(peak_kb - before_kb);
  const std::string report = "{\"outputs\": [" + outputs + "], \"times_ms\": [" + times + "], \"threads\": " + std::to_string(threads()) +
                             ", \"peak_memory_kb\": " + peak + ", \"features\": [" + features() + "]}\n";
  write_tile(folder + "/out/report.json", report.data(), report.size());
}
