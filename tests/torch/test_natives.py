"""Natives: the compiled files that this process uses, wherever its cache lies."""

import mmap

import pytest

from overwinter.torch import natives as module
from overwinter.torch.natives import natives

pytestmark = pytest.mark.torch


NAME = f"ab/cab{'c' * 49}.main.so"


@pytest.fixture
def library(tmp_path):
    """Return a function that maps a file into this process, as loading it does."""
    maps = []

    def load(folder, name=NAME):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"machine code")
        path.chmod(0o755)
        with open(path, "rb") as file:
            maps.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        return path

    yield load
    for each in maps:
        each.close()


def key_of(path):
    """Return the key that a bundle has for *path*."""
    return f"torchinductor/{path.parent.name}/{path.name}"


def test_a_loaded_library_is_found(library, tmp_path, monkeypatch):
    """With its bytes and its mode, and no neighbour of it."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    path = library("cache")
    path.with_name(f"cab{'a' * 49}.main.so").write_bytes(b"a neighbour")
    (found,) = natives([])
    assert found.content == b"machine code"
    assert found.key == key_of(path)
    assert found.mode == 0o755


def test_a_library_of_an_earlier_cache_directory_is_found(
    library, tmp_path, monkeypatch
):
    """Torch's directory may change while a process runs; the kernel runs on."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "another"))
    path = library("cache")
    assert [each.key for each in natives([])] == [key_of(path)]


def test_a_library_whose_file_is_gone_is_counted(library, tmp_path, monkeypatch):
    """``fresh_cache`` removes its directory; a save after that is not whole."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    path = library("cache")
    path.unlink()
    problems = []
    assert natives(problems) == []
    (problem,) = problems
    assert "1 kernels in use are gone" in problem


def test_a_file_that_vanishes_meanwhile_is_left_out(library, tmp_path, monkeypatch):
    """Between the look at the list and the read, somebody cleans up."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    path = library("cache")
    mapped = module._mapped_files()
    monkeypatch.setattr(module, "_mapped_files", lambda: mapped)
    path.unlink()
    problems = []
    assert natives(problems) == []
    (problem,) = problems
    assert str(path) in problem


def test_another_file_in_the_place_of_a_library_is_left_out(
    library, tmp_path, monkeypatch
):
    """It is not what this process runs; signed, it would run everywhere else."""
    from torch._inductor.codecache import CppCodeCache

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    path = library("cache")
    path.with_name("other").write_bytes(b"somebody else's")
    path.with_name("other").rename(path)
    key = path.name.removesuffix(".main.so")
    monkeypatch.setitem(CppCodeCache.cache, key, lambda: None)
    problems = []
    assert natives(problems) == []
    (problem,) = problems
    assert "or others are in their places" in problem


def test_a_library_that_is_swapped_meanwhile_is_left_out(
    library, tmp_path, monkeypatch
):
    """Between the look at the list and the read, by device and inode."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    path = library("cache")
    real, looks = module._mapped_files, []

    def look():
        looks.append(real())
        if len(looks) == 1:
            path.with_name("other").write_bytes(b"somebody else's")
            path.with_name("other").rename(path)
        return looks[-1]

    monkeypatch.setattr(module, "_mapped_files", look)
    problems = []
    assert natives(problems) == []
    (problem,) = problems
    assert "it is not the file that runs here" in problem


def test_a_file_system_may_number_a_mapping_otherwise(library, tmp_path, monkeypatch):
    """Btrfs does: then one mapping is held against another of the same file."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    path = library("cache")
    real = module._mapped_files

    def look():
        return {
            name: frozenset(f"ff:ff {each.split()[1]}" for each in numbers)
            for name, numbers in real().items()
        }

    monkeypatch.setattr(module, "_mapped_files", look)
    assert [each.key for each in natives([])] == [key_of(path)]


@pytest.mark.parametrize("place", ["", "ab", NAME])
def test_what_others_can_write_is_not_signed(place, library, tmp_path, monkeypatch):
    """Cache, folder or file: told once, with what would change it."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    library("cache")
    library("cache", f"ac/cac{'d' * 49}.main.so")
    (tmp_path / "cache" / place).chmod(0o777)
    problems = []
    found = natives(problems)
    assert len(found) == (1 if place else 0)
    (problem,) = problems
    assert "is writable by others (mode 0777)" in problem
    assert f"chmod go-w {tmp_path / 'cache' / place}" in problem


def test_a_file_that_no_key_can_name_is_left_out(library, tmp_path, monkeypatch):
    """Triton names its files itself."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    library("cache", "triton/0/launcher.so")
    library("cache", "triton/.hidden/launcher.so")
    problems = []
    (found,) = natives(problems)
    assert found.key == "torchinductor/triton/0/launcher.so"
    (problem,) = problems
    assert "triton/.hidden/launcher.so" in problem


def test_other_libraries_below_the_cache_directory_are_none(
    library, tmp_path, monkeypatch
):
    """The directory may be a project's, with a whole environment in it."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    library("environment", "lib/libtorch.so")
    problems = []
    assert natives(problems) == problems == []


@pytest.mark.parametrize(
    "name",
    [
        "codecache.CppCodeCache",
        "cpu_vec_isa.valid_vec_isa_list",
        "runtime.cache_dir_utils.cache_dir",
    ],
)
def test_a_private_part_that_is_gone_is_a_line(name, tmp_path, monkeypatch):
    """A save goes on with what else can be found."""
    import importlib

    place, _, attribute = name.rpartition(".")
    owner = importlib.import_module(f"torch._inductor.{place}")
    monkeypatch.delattr(owner, attribute)
    problems = []
    natives(problems)
    assert any(attribute in problem for problem in problems)
