// The input of an int8 model of sensors on a device, as edgeline/edge/contracts/row.py makes it.
//
//   python contract.py BUNDLE > contract.h
//   g++ -std=c++17 -I. -IBUNDLE sensors.cc BUNDLE/model_data.cc -o sensors && ./sensors
//
// On the device, leave main out, and run g_model_data with TensorFlow Lite for Microcontrollers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "contract.h"
#include "model_data.h"

// Fills tensor[kReadings][kChannels] from readings, the oldest first, NAN where one is missing, and from the
// words of the newest reading.
void Preprocess(const float readings[kReadings][kNumbers], const char* const* words, float* tensor) {
  std::fill(tensor, tensor + kReadings * kChannels, 0.0f);
  for (int reading = 0; reading < kReadings; ++reading, tensor += kChannels) {
    for (int n = 0; n < kNumbers; ++n) {
      const float value = readings[reading][n];
      const bool missing = std::isnan(value);
      tensor[n] = missing ? 0.0f : std::clamp((value - kMean[n]) / kDeviation[n], -kClip, kClip);
      tensor[kNumbers + n] = missing;
    }
    for (int c = 0; c < kCategories; ++c) {
      int place = 0;  // of words that are not in the vocabulary
      for (int word = 0; word < kVocabulary && kWords[c][word]; ++word) {
        if (!std::strcmp(kWords[c][word], words[c])) place = 1 + word;
      }
      tensor[2 * kNumbers + c * (kVocabulary + 1) + place] = 1.0f;
    }
  }
}

// Rounds to the nearest step, halves to the even one, and clips.
int8_t Quantise(float value) {
  return static_cast<int8_t>(std::clamp(std::nearbyint(value / kScale) + kZeroPoint, -128.0f, 127.0f));
}

int main() {
  static float tensor[kReadings * kChannels];
  float largest = 0;
  for (int n = 0; n < kGolden; ++n) {
    Preprocess(kGoldenReadings[n], kGoldenWords[n], tensor);
    for (int at = 0; at < kReadings * kChannels; ++at) {
      largest = std::max(largest, std::fabs(tensor[at] - kGoldenTensors[n][at]));
      if (Quantise(tensor[at]) != Quantise(kGoldenTensors[n][at])) return std::puts("another int8 value"), 1;
    }
  }
  std::printf("%d golden vectors: values differ by up to %g; the model has %u bytes\n", kGolden, largest, g_model_data_len);
  return largest > 1e-4f || std::memcmp(g_model_data + 4, "TFL3", 4) != 0;
}
