"""Data files: read where they are sound, refused with a sentence where they are not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scenario_texts import REGRESSION, SQUARED, spoilt, the_mistake, told

from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario.build.files import READ_AT_ONCE, load_array, load_layers
from flowsim.scenario.digest import data_files, digest
from flowsim.scenario.overrides import variants
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.toml.writing import dumps

TARGET = "target = { spectrum = [3, 2, 1] }"


def with_target(file: str, key: str = "") -> str:
    ref = f'file = "{file}"' + (f', key = "{key}"' if key else "")
    return spoilt(TARGET, f"target = {{ {ref} }} #!")


@pytest.fixture
def folder(tmp_path_factory) -> Path:
    """Return a folder with a sound 3 × 4 matrix in each kind of file; a long path would be cut."""
    tmp_path = tmp_path_factory.mktemp("x")
    matrix = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "phi.npy", matrix)
    np.savez(tmp_path / "phi.npz", Phi=matrix, other=matrix.T)
    np.savez_compressed(tmp_path / "small.npz", Phi=matrix)
    np.savetxt(tmp_path / "phi.csv", matrix, delimiter=",")
    np.save(tmp_path / "integers.npy", matrix.astype(np.int16))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(matrix.astype(np.float32)))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("phi.npy", ""),
        ("phi.npz", "Phi"),
        ("small.npz", "Phi"),
        ("phi.csv", ""),
        ("integers.npy", ""),
        ("fortran.npy", ""),
    ],
)
def test_sound_files_are_read_as_float64(folder: Path, file: str, key: str) -> None:
    scenario = from_toml(with_target(file, key), base=folder)
    array = load_array(scenario.loss.target)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, np.arange(12.0).reshape(3, 4))


def refused(folder: Path, file: str, key: str = "") -> str:
    """Return why a file is refused, as told at its line and as told when it is loaded."""
    mistake = the_mistake(with_target(file, key), folder)
    place = f"{folder / file}: "
    assert mistake.startswith(f"loss.target: {place}")
    with pytest.raises(ScenarioError) as error:
        load_array(FileRef(file=folder / file, key=key or None))
    assert str(error.value) == mistake.removeprefix("loss.target: ")
    return str(error.value).removeprefix(place)


class Evil:
    """Would leave a file behind if it were unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([[Evil()]]), "holds Python objects, which are never unpickled; save numbers"),
        (np.array([[1.0, np.nan]]), "holds nan or inf, first at entry (1, 2), counted from 1"),
        (np.array([[np.inf], [1.0]]), "holds nan or inf, first at entry (1, 1), counted from 1"),
        (np.array([["1", "2"]]), "holds <U1 values; save real numbers"),
        (np.array([[1j]]), "holds complex128 values; save real numbers"),
        (np.array([[True]]), "holds bool values; save real numbers"),
        (np.zeros((0, 4)), "holds an array of shape (0, 4), which is empty"),
        (np.zeros(1, [("a", float)]), "holds [('a', '<f8')] values; save real numbers"),
    ],
)
def test_arrays_that_are_no_finite_numbers_are_refused(
    tmp_path: Path, monkeypatch, array: np.ndarray, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", W=array)
    assert refused(tmp_path, "x.npy") == reason
    assert refused(tmp_path, "x.npz", "W") == reason
    assert not (tmp_path / "unpickled").exists()


def test_damaged_files_are_refused(folder: Path) -> None:
    whole = (folder / "phi.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[:-8])
    (folder / "none.npy").write_bytes(b"")
    (folder / "text.npy").write_bytes(b"1,2\n3,4\n" * 20)
    (folder / "cut.npz").write_bytes((folder / "phi.npz").read_bytes()[:-30])
    (folder / "flipped.npy").write_bytes(whole.replace(b"(3, 4)", b"(3, 9)"))
    (folder / "code.npy").write_bytes(whole.replace(b"(3, 4)", b"f(1,2)"))
    for name in ("cut.npy", "flipped.npy"):
        assert refused(folder, name).startswith("is cut short: its header says ")
    for name in ("none.npy", "text.npy", "code.npy"):
        assert refused(folder, name).startswith("cannot be read: ")
    assert refused(folder, "cut.npz", "Phi").startswith("cannot be read: ")


def header(rows: int, columns: int) -> bytes:
    stream = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (rows, columns)}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def test_a_header_that_promises_terabytes_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "huge.npy").write_bytes(header(10**6, 10**6) + b"\0" * 96)
    assert refused(tmp_path, "huge.npy").startswith("is cut short: its header says 80000000001")


def test_pickles_by_any_name_are_refused(tmp_path: Path) -> None:
    import pickle

    data = pickle.dumps({"W": [[1.0]]})
    (tmp_path / "W.pkl").write_bytes(data)
    (tmp_path / "W.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "W.npz", "w") as archive:
        archive.writestr("W.npy", data)
    kinds = "is of no known kind; write a .npy, .npz or .csv file"
    assert refused(tmp_path, "W.pkl") == kinds
    assert refused(tmp_path, "W.npy").startswith("cannot be read: ")
    assert refused(tmp_path, "W.npz", "W").startswith("cannot be read: ")


def test_missing_files_and_folders_are_refused(folder: Path) -> None:
    (folder / "folder.npy").mkdir()
    assert refused(folder, "none.npy") == "there is no such file"
    assert refused(folder, "folder.npy") == "is not a regular file"
    assert "is not a file name" in the_mistake(with_target(""), folder)
    assert "is not a file name" in the_mistake(with_target("\\u0000.npy"), folder)
    assert "cannot be read" in the_mistake(with_target("x" * 5000 + ".npy"), folder)


def test_keys_are_for_npz_files_which_need_them(folder: Path) -> None:
    assert refused(folder, "phi.npy", "Phi").startswith("takes no key, which only .npz files have")
    assert refused(folder, "phi.csv", "Phi").startswith("takes no key")
    assert refused(folder, "phi.npz") == (
        "needs a key; it holds Phi or other, of which write one as key"
    )
    assert refused(folder, "phi.npz", "Psi").startswith("holds no array Psi; it holds Phi or other")


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", "1,2\n3\n", "", "1,nan\n", "1;2\n", "\xff,1\n", "1,inf\n"]
)
def test_csv_files_that_are_no_rows_of_numbers_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content, encoding="latin-1")
    reason = refused(tmp_path, "x.csv")
    assert reason.startswith(("cannot be read: ", "holds nan or inf", "holds an empty"))


def test_shapes_are_told_of_files_too(folder: Path) -> None:
    np.save(folder / "vector.npy", np.zeros(4))
    np.save(folder / "wide.npy", np.zeros((4, 3)))
    mistake = the_mistake(with_target("wide.npy"), folder)
    assert mistake.startswith("loss.target: is 4 × 3, but network.widths make W 3 × 4")
    mistake = the_mistake(with_target("vector.npy"), folder)
    assert mistake.endswith("holds an array of shape (4,); save one with two axes")


def test_arrays_too_large_to_read_at_once_are_known_by_their_headers(tmp_path: Path) -> None:
    columns = READ_AT_ONCE // 8 + 1
    with (tmp_path / "sparse.npy").open("wb") as file:
        file.write(header(1, columns))
        file.truncate(len(header(1, columns)) + columns * 8)
    assert f"is 1 × {columns}, but" in the_mistake(with_target("sparse.npy"), tmp_path)


def test_labels_in_files_are_checked(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "y.csv", [[0, 1, 2]], delimiter=",")
    text = spoilt('"regression"', '"logistic"', REGRESSION)
    text = spoilt("[[1, -1, 1]]", '{ file = "y.csv" } #!', text)
    assert the_mistake(text, tmp_path).startswith("data.targets: holds 0.0, but loss.kind = ")


def explicit(file: str) -> str:
    text = spoilt('kind = "balanced"\nscale = 1e-3', f'kind = "explicit"\nlayers = {file} #!')
    return spoilt("[4, 6, 5, 3]", "[4, 2, 3]", text).replace("[3, 2, 1]", "[3, 2]")


def test_layers_are_the_arrays_of_one_npz_file(tmp_path: Path) -> None:
    W1, W2 = np.ones((2, 4)), np.ones((3, 2))
    np.savez(tmp_path / "layers.npz", W_1=W1, W_2=W2)
    np.savez(tmp_path / "swapped.npz", W_1=W2, W_2=W2)
    np.savez(tmp_path / "one.npz", W_1=W1)
    np.save(tmp_path / "layers.npy", W1)
    scenario = from_toml(explicit('{ file = "layers.npz" }'), base=tmp_path)
    layers = load_layers(scenario.init.layers, scenario.network.depth)
    np.testing.assert_array_equal(layers[1] @ layers[0], W2 @ W1)
    for file, reason in [
        ('{ file = "swapped.npz" }', "has W_1 of 3 × 2, but network.widths make it 2 × 4"),
        ('{ file = "one.npz" }', "one.npz: holds no array W_2; it holds W_1"),
        ('{ file = "layers.npz", key = "W_1" }', "are W_1 … W_N of one .npz file"),
        ('{ file = "layers.npy" }', "are W_1 … W_N of one .npz file"),
    ]:
        assert reason in the_mistake(explicit(file), tmp_path)


def test_a_digest_is_of_what_files_hold_not_of_where_they_are(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere"
    there.mkdir()
    (there / "renamed.npy").write_bytes((folder / "phi.npy").read_bytes())
    one = from_toml(with_target("phi.npy"), base=folder)
    other = from_toml(with_target("renamed.npy"), base=there)
    assert digest(one) == digest(other)
    np.save(there / "renamed.npy", np.ones((3, 4)))
    assert digest(one) != digest(other)
    (there / "renamed.npy").unlink()
    with pytest.raises(ScenarioError, match="cannot be read"):
        digest(other)


def test_a_scenario_can_be_written_with_copies_of_its_data(folder: Path) -> None:
    (folder / "more").mkdir()
    np.save(folder / "more" / "phi.npy", np.ones((3, 4)))
    variant = (
        '\n[[variant]]\nname = "v"\nset = { "loss.target" = { file = "more/phi.npy" } }\n'
        '[[variant]]\nname = "w"\nset = { loss = { kind = "squared", target = '
        '{ file = "phi.npy" } } }\n'
    )
    scenario = from_toml(with_target("phi.npy") + variant, base=folder)
    files = data_files(scenario)
    assert files == {"phi.npy": folder / "phi.npy", "phi-2.npy": folder / "more" / "phi.npy"}
    copy = folder / "copy"
    (copy / "data").mkdir(parents=True)
    for name, path in files.items():
        (copy / "data" / name).write_bytes(path.read_bytes())
    again = from_toml(dumps(scenario, data_folder="data"), base=copy)
    assert digest(again) == digest(scenario)
    assert again.loss.target.file == copy / "data" / "phi.npy"
    assert variants(again)["v"].loss.target.file == copy / "data" / "phi-2.npy"
    assert from_toml(dumps(scenario)) == scenario


def test_missing_files_of_variants_are_told_at_the_variant() -> None:
    text = f'{SQUARED}\n[[variant]]\nname = "v"\nset = {{ "loss.target" = {{ file = "no.npy" }} }}'
    (mistake,) = told(text)
    line = text.count("\n") + 1
    assert mistake.startswith(f"s.toml:{line}: variant[0].set.loss.target: ")
    assert mistake.endswith("no.npy: there is no such file")
