from tensorflow_metadata.proto.v0 import anomalies_pb2

from edgeline.records.verdict import read_anomalies


def test_an_anomaly_is_one_sentence_with_its_splits(tmp_path):
    for split in ("train", "eval"):
        anomalies = anomalies_pb2.Anomalies()
        anomalies.anomaly_info["lane_id"].short_description = "Unexpected values"
        anomalies.anomaly_info["lane_id"].description = "lane-77. "
        anomalies.dataset_anomaly_info.short_description = "Low num examples in dataset."
        anomalies.dataset_anomaly_info.description = "The dataset has 500 examples, fewer than expected."
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}" / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())
    anomaly, of_window = read_anomalies(tmp_path, ("train", "eval"))
    assert anomaly.feature == "lane_id"
    assert anomaly.sentence == "lane_id breaks the schema in train and eval: Unexpected values: lane-77."
    assert of_window.sentence == (
        "The window breaks the schema in train and eval: Low num examples in dataset.: The dataset has 500"
        " examples, fewer than expected."
    )
