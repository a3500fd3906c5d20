"""Writes a .tflite file as C source, which TensorFlow Lite Micro links into a device without files."""

from pathlib import Path

SOURCE, HEADER = "model_data.cc", "model_data.h"
_PER_LINE = 16

_HEADER = """\
#ifndef MODEL_DATA_H_
#define MODEL_DATA_H_

// For tflite::GetModel(g_model_data).
extern const unsigned char g_model_data[];
extern const unsigned int g_model_data_len;

#endif  // MODEL_DATA_H_
"""


def write_c_array(model: Path, folder: Path) -> None:
    """Writes model_data.cc and model_data.h for a .tflite file.

    The array is aligned to 16 bytes, as the reader of the flatbuffer requires
    (https://ai.google.dev/edge/litert/microcontrollers/build_convert).
    """
    content = model.read_bytes()
    lines = (
        "    " + " ".join(f"0x{byte:02x}," for byte in content[at : at + _PER_LINE])
        for at in range(0, len(content), _PER_LINE)
    )
    source = (
        f'#include "{HEADER}"\n\n// {model.name}\n'
        f"alignas(16) const unsigned char g_model_data[{len(content)}] = {{\n" + "\n".join(lines) + "\n};\n"
        f"const unsigned int g_model_data_len = {len(content)};\n"
    )
    (folder / SOURCE).write_text(source, encoding="utf-8")
    (folder / HEADER).write_text(_HEADER, encoding="utf-8")
