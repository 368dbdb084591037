// ExecuTorch for the JVM of a desktop machine: what org.pytorch.executorch.Module is on a phone. Links with the libraries in ExecuTorch's Python wheel.
// Errors become an IllegalStateException whose message DesktopEnhancer.kt completes.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <jni.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

// Declared here because the wheel's headers leave the thread pool out.
struct pthreadpool;
extern "C" size_t pthreadpool_get_threads_count(pthreadpool*);
namespace executorch::extension::threadpool {
pthreadpool* get_pthreadpool();
}

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::extension::Module;
using executorch::runtime::Error;

namespace {

struct Model {
  Module module;
  std::vector<SizesType> sizes;
  ScalarType type;
  size_t bytes;
  explicit Model(const char* path) : module(path, Module::LoadMode::Mmap), type(ScalarType::Float), bytes(0) {}
};

void fail(JNIEnv* env, const std::string& why) { env->ThrowNew(env->FindClass("java/lang/IllegalStateException"), why.c_str()); }

std::string number(Error error) { return "error " + std::to_string(static_cast<int>(error)); }

bool read_input(JNIEnv* env, Model& model) {
  auto meta = model.module.method_meta("forward");
  if (!meta.ok() || meta->num_inputs() != 1) return fail(env, "it does not take one tensor"), false;
  auto input = meta->input_tensor_meta(0);
  if (!input.ok()) return fail(env, "its input is no tensor"), false;
  for (size_t d = 0; d < input->dim_order().size(); d++)
    if (input->dim_order()[d] != d) return fail(env, "its input is not contiguous"), false;
  model.sizes.assign(input->sizes().begin(), input->sizes().end());
  model.type = input->scalar_type();
  model.bytes = input->nbytes();
  return true;
}

}  // namespace

extern "C" JNIEXPORT jlong JNICALL Java_edgekit_desktop_DesktopEnhancer_open(JNIEnv* env, jclass, jstring path) {
  const char* text = env->GetStringUTFChars(path, nullptr);
  auto model = std::make_unique<Model>(text);
  env->ReleaseStringUTFChars(path, text);
  Error error = model->module.load(executorch::runtime::Program::Verification::InternalConsistency);
  if (error == Error::Ok) error = model->module.load_forward();
  if (error != Error::Ok) return fail(env, "ExecuTorch cannot load it, " + number(error)), 0;
  return read_input(env, *model) ? reinterpret_cast<jlong>(model.release()) : 0;
}

extern "C" JNIEXPORT void JNICALL Java_edgekit_desktop_DesktopEnhancer_run(JNIEnv* env, jclass, jlong handle, jobject input, jobject output) {
  auto& model = *reinterpret_cast<Model*>(handle);
  if (static_cast<size_t>(env->GetDirectBufferCapacity(input)) != model.bytes) return fail(env, "it takes " + std::to_string(model.bytes) + " bytes");
  auto tensor = executorch::extension::from_blob(env->GetDirectBufferAddress(input), model.sizes, model.type);
  const auto result = model.module.forward(*tensor);
  if (!result.ok()) return fail(env, "ExecuTorch cannot run it, " + number(result.error()));
  if (result->size() != 1 || !result->at(0).isTensor()) return fail(env, "it does not give one tensor");
  const auto& found = result->at(0).toTensor();
  for (ssize_t d = 0; d < found.dim(); d++)
    if (found.dim_order()[d] != d) return fail(env, "its output is not contiguous");
  if (static_cast<size_t>(env->GetDirectBufferCapacity(output)) != found.nbytes()) return fail(env, "it gives " + std::to_string(found.nbytes()) + " bytes");
  std::memcpy(env->GetDirectBufferAddress(output), found.const_data_ptr(), found.nbytes());
}

extern "C" JNIEXPORT jint JNICALL Java_edgekit_desktop_DesktopEnhancer_threadCount(JNIEnv*, jclass) {
  return static_cast<jint>(pthreadpool_get_threads_count(executorch::extension::threadpool::get_pthreadpool()));
}

extern "C" JNIEXPORT void JNICALL Java_edgekit_desktop_DesktopEnhancer_close(JNIEnv*, jclass, jlong handle) { delete reinterpret_cast<Model*>(handle); }
