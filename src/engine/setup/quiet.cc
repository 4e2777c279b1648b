// Points standard error at nothing and back again: TensorFlow greets on it while it is loaded, before any of its
// own switches for logging is read. dup2 is atomic, so no other thread ever finds the descriptor closed.
#include <fcntl.h>
#include <node_api.h>
#include <unistd.h>

namespace {

int saved = -1;

napi_value Mute(napi_env, napi_callback_info) {
  if (saved >= 0) return nullptr;
  const int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (copy >= 0 && nothing >= 0 && dup2(nothing, STDERR_FILENO) >= 0) {
    saved = copy;
  } else if (copy >= 0) {
    close(copy);
  }
  if (nothing >= 0) close(nothing);
  return nullptr;
}

napi_value Unmute(napi_env, napi_callback_info) {
  if (saved < 0) return nullptr;
  dup2(saved, STDERR_FILENO);
  close(saved);
  saved = -1;
  return nullptr;
}

napi_value Init(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
      {"mute", nullptr, Mute, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"unmute", nullptr, Unmute, nullptr, nullptr, nullptr, napi_default, nullptr},
  };
  if (napi_define_properties(env, exports, 2, properties) != napi_ok) {
    napi_throw_error(env, nullptr, "cannot define mute and unmute");
  }
  return exports;
}

}  // namespace

NAPI_MODULE(quiet, Init)
