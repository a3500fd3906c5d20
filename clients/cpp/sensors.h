// The input of an int8 model of sensors on a device, as edgeline/edge/contracts/row.py makes it. Run
// g_model_data of model_data.h with TensorFlow Lite for Microcontrollers, which is not part of this.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "contract.h"  // python contract.py BUNDLE > contract.h

// Fills tensor[kReadings][kChannels] from readings, the oldest first, NAN where one is missing, and from the
// words of the newest reading. Returns how unlike the window is to all of training, 0 to 1: above 0.5 where a
// number is more than a deviation beyond those of training, to which it is clipped, or a word is new. The
// answer to such a window means little.
inline float Preprocess(const float (&readings)[kReadings][kNumbers], const char* const* words,
                        float* tensor) {
  float farthest = 0.0f;  // deviations
  std::fill(tensor, tensor + kReadings * kChannels, 0.0f);
  for (int reading = 0; reading < kReadings; ++reading, tensor += kChannels) {
    for (int n = 0; n < kNumbers; ++n) {
      const float value = std::clamp(readings[reading][n], kLow[n], kHigh[n]);  // NAN stays
      const bool missing = std::isnan(value);
      if (!missing) farthest = std::max(farthest, std::abs(readings[reading][n] - value) / kDeviation[n]);
      tensor[n] = missing ? 0.0f : std::clamp((value - kMean[n]) / kDeviation[n], -kClip, kClip);
      tensor[kNumbers + n] = missing;
    }
    for (int c = 0; c < kCategories; ++c) {
      int place = 0;  // of words that are not in the vocabulary
      for (int word = 0; word < kVocabulary && kWords[c][word]; ++word) {
        if (!std::strcmp(kWords[c][word], words[c])) place = 1 + word;
      }
      tensor[2 * kNumbers + c * (kVocabulary + 1) + place] = 1.0f;
      // All words of training are in a vocabulary that is not full, but for the empty one.
      if (!place && *words[c] && !kWords[c][kVocabulary - 1]) farthest = INFINITY;
    }
  }
  return 1 - 1 / (1 + farthest);
}

// Rounds to the nearest step, halves to the even one, and clips.
inline int8_t Quantise(float value) {
  return static_cast<int8_t>(std::clamp(std::nearbyint(value / kScale) + kZeroPoint, -128.0f, 127.0f));
}
