// Judges a signed pointer on a device, by the rules of all readers: clients/pointers.json has examples, and
// edgeline/release/refusals.json the words of each reason. The caller parses current.json and checks the
// signatures: Ed25519 over DSSE's encoding of the payload.
#pragma once
#include <cstdint>
#include <cstring>

constexpr int64_t kMostBytes = 4000000;  // of current.json, and of manifest.json
constexpr int kMostSignatures = 8;
constexpr int64_t kClocksApart = 86400;  // seconds

struct Release {
  int64_t version;
  const char* digest;  // the SHA-256 of manifest.json, 64 digits
  double percent = 0;  // of the devices that run the candidate
};

struct Pointer {
  const char* model;
  int64_t counter, rollbacks;
  int64_t issued, expires;  // seconds since 1970
  Release production;
  Release candidate;  // {} where there is none
};

struct Signature {
  const char* key;  // that it names, 64 digits
  bool is_right;    // by this key
};

// What a device remembers of the last pointer that it accepted, and the release that it runs.
struct Seen {
  const char* key;  // nullptr in a store without keys
  Pointer pointer;
  Release release;
};

template <typename T>
struct List {
  const T* items;
  int count;
};

// Returns the reason why a document of so many bytes is not read, or nullptr.
inline const char* CheckDocument(int64_t size) { return size > kMostBytes ? "large" : nullptr; }

// Returns the reason why a file of so many bytes is not the one that the manifest lists, or nullptr.
inline const char* CheckFile(int64_t size, int64_t listed) {
  return size > listed ? "large" : size < listed ? "truncated" : nullptr;
}

// Returns true for a device that runs the candidate; `digest` is the SHA-256 of "MODEL\nVERSION\nID", 32 bytes.
inline bool TakesCandidate(const uint8_t* digest, double percent) {
  uint64_t number = 0;
  for (int at = 0; at < 8; ++at) number = number << 8 | digest[at];
  return static_cast<double>(number % 10000) / 100 < percent;
}

inline bool IsSame(const char* a, const char* b) { return a == b || (a && b && !std::strcmp(a, b)); }

inline bool IsSame(const Release& a, const Release& b) {
  return a.version == b.version && IsSame(a.digest, b.digest) && a.percent == b.percent;
}

inline bool IsSame(const Pointer& a, const Pointer& b) {
  return IsSame(a.production, b.production) && IsSame(a.candidate, b.candidate);
}

inline bool IsRelease(const Release& release) {
  return release.version > 0 && release.digest && std::strlen(release.digest) == 64 &&
         std::strspn(release.digest, "0123456789abcdef") == 64;
}

inline bool IsPointer(const Pointer& pointer) {
  const Release& candidate = pointer.candidate;
  const bool fits = !candidate.digest ||
                    (IsRelease(candidate) && candidate.percent >= 0.01 && candidate.percent <= 99.99);
  return pointer.model && pointer.counter > 0 && pointer.rollbacks >= 0 && pointer.issued < pointer.expires &&
         IsRelease(pointer.production) && fits;
}

// Finds the newest trusted key that signed, never one older than the key that the device has accepted before.
// Returns false if none did; in a store without keys, `*key` is nullptr.
inline bool FindSigner(List<Signature> signatures, List<const char*> keys, const char* last, const char** key) {
  *key = nullptr;
  if (!keys.count && !last) {
    if (!signatures.count) return true;
    *key = signatures.items[0].key;
    return signatures.items[0].is_right;
  }
  if (!keys.count) keys = {&last, 1};
  int oldest = keys.count - 1;
  while (oldest > 0 && !IsSame(keys.items[oldest], last)) --oldest;
  for (int at = keys.count - 1; at >= oldest; --at) {
    for (int n = 0; n < signatures.count; ++n) {
      if (!signatures.items[n].is_right || !IsSame(signatures.items[n].key, keys.items[at])) continue;
      *key = keys.items[at];
      return true;
    }
  }
  return false;
}

// Returns the reason why a pointer is not accepted, or nullptr; then the device remembers it, with `*key`.
// `release` is the side of the pointer that the device takes. `keys` are those that are built into it, the
// oldest first: during a change of keys both. Without any, the first that signs is required from then on.
inline const char* Judge(const Pointer& pointer, const Release& release, List<Signature> signatures,
                         List<const char*> keys, const Seen* seen, const char* model, int64_t now,
                         const char** key) {
  if (!IsPointer(pointer) || signatures.count > kMostSignatures) return "pointer";
  if (!FindSigner(signatures, keys, seen ? seen->key : nullptr, key)) return "signature";
  if (!IsSame(pointer.model, model)) return "other";
  if (pointer.issued > now + kClocksApart) return "clock";
  if (pointer.expires <= now) return "stale";
  if (!seen || !IsSame(*key, seen->key)) return nullptr;
  const Pointer& last = seen->pointer;
  const bool changed = !IsSame(pointer, last);
  if (!*key) {  // anybody can write a counter of 10^15, after which no other would be accepted
    return pointer.issued < last.issued || (pointer.issued == last.issued && changed) ? "earlier" : nullptr;
  }
  if (pointer.counter < last.counter || (pointer.counter == last.counter && changed)) return "replayed";
  return release.version < seen->release.version && pointer.rollbacks <= last.rollbacks ? "lower" : nullptr;
}
