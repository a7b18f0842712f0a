#include "dptf/atom_blocks.h"

#include <cmath>

namespace dptf {

template <typename V>
std::vector<std::vector<int>> compact_groups(std::vector<int> atoms, const V* coord, int size) {
  const auto x = [coord](int i, int d) { return coord[3 * static_cast<size_t>(i) + d]; };
  std::vector<std::vector<int>> done, todo;
  todo.push_back(std::move(atoms));
  while (!todo.empty()) {
    std::vector<int> group = std::move(todo.back());
    todo.pop_back();
    const int n = static_cast<int>(group.size());
    if (n <= size) {
      done.push_back(std::move(group));
      continue;
    }
    int axis = 0;
    double longest = -1;
    for (int d = 0; d < 3; ++d) {
      const auto ends =
          std::minmax_element(group.begin(), group.end(), [&](int a, int b) { return x(a, d) < x(b, d); });
      const double length = x(*ends.second, d) - x(*ends.first, d);
      if (length > longest) longest = length, axis = d;
    }
    // Whole blocks on the left side, so that few are small.
    const int left = std::min(n - 1, std::max(1, static_cast<int>(std::lround(0.5 * n / size))) * size);
    std::nth_element(group.begin(), group.begin() + left, group.end(),
                     [&](int a, int b) { return x(a, axis) < x(b, axis); });
    todo.emplace_back(group.begin() + left, group.end());
    todo.emplace_back(group.begin(), group.begin() + left);
  }
  return done;
}
template std::vector<std::vector<int>> compact_groups<double>(std::vector<int>, const double*, int);
template std::vector<std::vector<int>> compact_groups<float>(std::vector<int>, const float*, int);

}  // namespace dptf
