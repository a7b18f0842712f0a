// The file that LAMMPS finds (*plugin.so). It opens the styles, in libdeepmd_lmp.so beside it, with standard error held
// back: TensorFlow greets with several lines when it is loaded, in every rank, and no variable silences them.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

class QuietStderr {
 public:
  QuietStderr() {
    const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
    if (level && std::atoi(level) < 2) return;  // the user wants to read them
    std::fflush(stderr);
    saved_ = dup(2);
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) {
      dup2(nowhere, 2);
      close(nowhere);
    }
  }
  ~QuietStderr() {
    if (saved_ < 0) return;
    dup2(saved_, 2);
    close(saved_);
  }

 private:
  int saved_ = -1;
};

std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&own_folder), &info) || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle,
                                                                         void* regfunc) {
  const std::string path = own_folder() + "/libdeepmd_lmp.so";
  void* library = nullptr;
  {
    const QuietStderr quiet;
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (!library) {
    std::fprintf(stderr, "deepmd plugin: %s\n", dlerror());
    return;
  }
  using Init = void (*)(void*, void*, void*);
  if (const auto init = reinterpret_cast<Init>(dlsym(library, "lammpsplugin_init"))) init(lmp, handle, regfunc);
}
