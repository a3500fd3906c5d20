"""Values of records, for tests that need one and look at some of its fields."""

from edgeline.records.edge import GroupAccuracy, Latency, Machine, Measurement

MEASURED = Measurement(
    file="model_fp16.tflite",
    size_bytes=400_000,
    examples=40,
    agreement=1.0,
    max_difference=1e-3,
    accuracy=0.75,
    reference_accuracy=0.75,
    groups={"lane": {"lane-01": GroupAccuracy(5, 0.8, 0.8)}},
    finite=True,
    latency=Latency(p50_ms=0.5, p99_ms=0.7, runs=100),
    machine=Machine("a processor", "tensorflow 2.16.2"),
)
