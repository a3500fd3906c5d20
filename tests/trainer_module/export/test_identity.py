import pytest
import tensorflow as tf

from trainer_module.export.identity import compute_identity


def export_model(
    folder,
    weight=2.0,
    constant=0.5,
    swapped=False,
    words=("ok", "damaged"),
    names=("one", "two"),
    traced_before=0,
):
    """Exports two weights of one shape, a vocabulary and a signature with a loop; returns the identity."""
    for _ in range(traced_before):
        tf.function(lambda x: x + 1).get_concrete_function(1.0)
    vocabulary = folder.parent / "words"
    vocabulary.write_text("\n".join(words))
    module = tf.Module()
    one, two = tf.Variable([weight, 1.0]), tf.Variable([3.0, 4.0])
    for name, variable in zip(names, (one, two), strict=True):
        setattr(module, name, variable)
    module.table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        1,
    )  # fmt: skip

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(word):
        number = tf.map_fn(lambda each: each + 1.0, tf.cast(module.table.lookup(word), tf.float32))
        left, right = (number + constant) * one[0], two[1]
        return {"out": right - left if swapped else left - right}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return compute_identity(folder)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Exports a model; returns its folder and its identity."""
    folder = tmp_path_factory.mktemp("models") / "first"
    return folder, export_model(folder)


def test_the_same_weights_and_graph_have_one_identity_in_different_files(first, tmp_path):
    """Keras' ExportArchive numbers variables by the addresses of objects."""
    folder, identity = first
    assert export_model(tmp_path / "again", names=("two", "one"), traced_before=3) == identity
    files = [path / "variables/variables.index" for path in (tmp_path / "again", folder)]
    assert files[0].read_bytes() != files[1].read_bytes()


@pytest.mark.parametrize(
    "change", [{"weight": 2.5}, {"constant": 0.25}, {"swapped": True}, {"words": ("ok", "broken")}]
)
def test_another_weight_constant_connection_or_vocabulary_has_another_identity(first, tmp_path, change):
    assert export_model(tmp_path / "other", **change) != first[1]
